"""Figures of scores."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ssp_model.evaluation.metrics import METRICS
from ssp_model.figures import scores
from ssp_model.figures.scores import plot_intensities, plot_runs, plot_scores, spread


def test_scores_are_drawn_from_worst_to_best():
    images = pd.DataFrame({"structure": ["a", "a", "b"], **{metric: [0.5, 0.7, 0.1] for metric in METRICS}})
    means = pd.DataFrame({"structure": ["a", "b"], "images": [2, 1]})
    for metric in METRICS:
        means[metric] = [0.6, 0.1]
        means[f"{metric}_low"], means[f"{metric}_high"] = [0.55, np.nan], [0.65, np.nan]
    figure = plot_scores(images, means)
    assert len(figure.axes) == len(METRICS)
    first = figure.axes[0]
    assert first.get_title().startswith("MSE")
    assert [text.get_text() for text in first.get_yticklabels()] == ["b", "a"]
    assert first.lines[3].get_xdata().tolist() == [0.5, 0.7]
    assert first.get_xlabel() == "all 3 images: 0.433 (dashed)"


def test_runs_are_drawn_by_experiment():
    runs = pd.DataFrame({"experiment": ["a", "a", "b"], "r2": [0.4, 0.6, 0.7]}).assign(r2_low=0.3, r2_high=0.8)
    (axes,) = plot_runs(runs).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    assert 0.5 in [line.get_xdata()[0] for line in axes.lines]


def test_intensities_are_drawn_for_signal_and_target():
    index = pd.DataFrame({"task": ["b", "a"], "signal_mean": 1.0, "signal_std": 0.5})
    figure = plot_intensities(index.assign(target_mean=2.0, target_std=0.5))
    assert [axes.lines[0].get_xdata()[0] for axes in figure.axes] == [1.0, 2.0]


def test_dots_of_a_row_stand_apart():
    assert spread(1, 0.3).tolist() == [0]
    assert spread(3, 0.3).tolist() == [-0.3, 0, 0.3]


def test_one_more_metric_gets_a_panel(monkeypatch):
    more = scores.METRIC | {"rank": replace(scores.METRIC["pearson"], name="rank", title="Rank correlation")}
    monkeypatch.setattr(scores, "METRIC", more)
    images = pd.DataFrame({"structure": ["a", "b"], **dict.fromkeys(more, 0.5)})
    means = images.assign(**{f"{metric}_{end}": 0.5 for metric in more for end in ("low", "high")})
    titles = [axes.get_title() for axes in plot_scores(images, means).axes if axes.get_visible()]
    assert len(titles) == 7
    assert titles[-1].startswith("Rank correlation")
