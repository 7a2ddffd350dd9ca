"""Figures of images."""

import numpy as np
import pytest

from ssp_model.figures.images import brightness, focus, plot_composite, plot_inputs, plot_prediction


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=(8, 10, 12)).astype(np.float32)


def texts(figure):
    return {text.get_text() for axes in figure.axes for text in axes.texts}


@pytest.mark.parametrize("voxel_size_um", [(2.0, 1.0, 0.5), None])
def test_a_prediction_in_sections(volume, voxel_size_um):
    figure = plot_prediction(volume, volume * 2, volume * 3, voxel_size_um)
    sections = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in sections if axes.get_title()] == [
        "transmitted light (input)", "target", "prediction", "prediction - target",
    ]  # fmt: skip
    z, y, x = focus(volume * 2)
    xy, yz, xz = (axes.images[0] for axes in sections[3:6])
    assert (xy.get_array() == volume[z] * 2).all()
    assert (yz.get_array() == volume[:, :, x].T * 2).all()
    assert (xz.get_array() == volume[:, y] * 2).all()
    assert xz.get_extent() == ([0, 6, 16, 0] if voxel_size_um else [0, 12, 8, 0])
    assert texts(figure) == {"XY", "YZ", "XZ", "2 µm" if voxel_size_um else "2 px"}
    # target and prediction have one scale
    assert sections[3].images[0].norm is sections[6].images[0].norm


def test_all_structures_of_an_image(volume):
    figure = plot_composite(volume, {f"structure {i}": volume for i in range(5)}, (1.0, 1.0, 1.0))
    shown = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert shown == ["transmitted light (input)", "all predictions over it", *(f"structure {i}" for i in range(5))]
    assert texts(figure) == {"2 µm"}


def test_inputs_stand_above_targets(volume):
    figure = plot_inputs({f"structure {i}": (volume[i], volume[i] + 1) for i in range(7)}, None)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 14
    assert (shown[0].images[0].get_array() == volume[0]).all()
    assert (shown[6].images[0].get_array() == volume[0] + 1).all()
    assert texts(figure) == {"2 px"}


def test_focus_is_on_most_contrast_but_not_at_an_edge():
    volume = np.zeros((16, 16, 16))
    volume[5, 6, 7], volume[0, 0, 0] = 1, 9
    assert focus(volume) == (5, 6, 7)


def test_brightness_is_from_the_median_up():
    volume = np.arange(1000.0).reshape(10, 10, 10)
    plane = brightness(volume, 9)
    assert (brightness(volume, 0) == 0).all()
    assert plane.max() == 1
    assert brightness(np.zeros((2, 2, 2)), 0).max() == 0
