"""Figures of a training."""

import numpy as np
import pandas as pd
import pytest

from ssp_model.figures.training import plot_gates, plot_history, plot_speed, plot_validation


def labelled(axes, which):
    """Whether the labels of an axis are shown."""
    return all(tick.label1.get_visible() for tick in getattr(axes, which).get_major_ticks())


@pytest.mark.parametrize("number", [1, 3, 7, 10, 19])
def test_labels_of_experts_appear_once_a_column_and_once_a_row(number):
    weights = {f"convolution {i}": np.full((2, 4), 0.25) for i in range(number)}
    figure = plot_gates(weights, ["a", "b", "c", "d"], ["tom20", "zo1"])
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == list(weights)
    columns = min(number, 5)
    below = [labelled(axes, "xaxis") for axes in panels]
    assert below == [i >= number - columns for i in range(number)]
    assert [labelled(axes, "yaxis") for axes in panels] == [i % columns == 0 for i in range(number)]
    assert [text.get_text() for text in panels[-1].get_xticklabels()] == ["a", "b", "c", "d"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["tom20", "zo1"]
    # rows are evenly apart, also above an empty place
    tops = [axes.get_position().y1 for axes in panels[::columns]]
    assert np.allclose(np.diff(tops), np.diff(tops)[:1], atol=5e-3)
    assert len({round(axes.get_position().height, 6) for axes in panels}) == 1


def test_white_is_an_equal_share():
    panel, *_ = plot_gates({"one": [[0.7, 0.3], [0.5, 0.5]]}, ["a", "b"], ["tom20", "zo1"]).axes
    norm = panel.images[0].norm
    assert (norm.vmin, norm.vcenter, norm.vmax) == (0, 0.5, 0.7)


def test_history_marks_the_epoch_that_was_kept():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4],
            "train_mse": [1.0, 0.8, 0.6, 0.4],
            "train_mse_tom20": [1.0, 0.8, 0.6, 0.4],
            "val_mse": [None, 0.5, None, 0.7],
            "val_mse_tom20": [None, 0.5, None, 0.7],
            "crops_per_s": 1.0,
            "peak_memory_mb": 10,
            "learning_rate": 1e-3,
        }
    )
    losses, by_structure, _ = plot_history(history).axes
    assert [text.get_text() for text in losses.get_legend().get_texts()][-1] == "kept: epoch 2, 0.500"
    assert [text.get_text() for text in by_structure.get_legend().get_texts()] == ["tom20"]
    assert [axes.get_title() for axes in plot_speed(history).axes][1] == "Peak memory"


def test_a_validation_shows_the_plane_of_most_contrast():
    volume = np.zeros((8, 5, 6))
    volume[3] = np.arange(30).reshape(5, 6)
    figure = plot_validation({"tom20": (volume, volume, volume), "zo1": (volume, volume, volume)})
    assert len(figure.axes) == 6
    assert (figure.axes[1].images[0].get_array() == volume[3]).all()
    assert figure.axes[3].get_ylabel() == "zo1"
