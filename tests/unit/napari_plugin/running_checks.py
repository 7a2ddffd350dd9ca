"""Run in a process with a screen: see conftest.py."""

import threading

import numpy as np
import pytest
from napari.layers import Image
from napari.utils.notifications import notification_manager

from ssp_model import Predictor
from ssp_model.prediction import sliding_window
from tests.unit.napari_plugin.in_viewer import choose_model, predict, told, wait_until

RAW = np.random.default_rng(0).normal(100, 5, size=(2, 3, 9, 20, 40)).astype(np.float32)
SIZES = (0.6, 0.3, 0.15)


@pytest.fixture
def ready(widget, viewer, model):
    """A widget with a model, for a layer of these voxels."""

    def make_ready(voxels, **settings) -> Image:
        layer = viewer.add_image(voxels, **{"name": "light", "scale": (1,) * (voxels.ndim - 3) + SIZES} | settings)
        choose_model(widget, model)
        widget.device.setCurrentText("cpu")
        return layer

    return make_ready


@pytest.fixture
def held(monkeypatch):
    """Holds the prediction before its second batch of windows, until it is let go."""
    held = Held()
    compute = sliding_window.predict_windows

    def hold(*arguments):
        held.batches += 1
        if held.batches == 2:
            held.reached = True
            held.go.wait()
        return compute(*arguments)

    monkeypatch.setattr(sliding_window, "predict_windows", hold)
    return held


class Held:
    def __init__(self) -> None:
        self.batches, self.reached, self.go = 0, False, threading.Event()


def test_the_layers_are_what_the_predictor_predicts(ready, widget, viewer, model):
    light = ready(RAW[0, 0], units="um", translate=(1, 2, 3))
    widget.overlap.setValue(0.25)
    predict(widget)
    wanted = Predictor(model, device="cpu", overlap=0.25).predict(RAW[0, 0], voxel_size_um=SIZES)
    assert [layer.name for layer in viewer.layers] == ["light", "tom20 (light)", "zo1 (light)"]
    for layer, colour, structure in zip(viewer.layers[1:], ("#56b4e9", "#e69f00"), ("tom20", "zo1"), strict=True):
        np.testing.assert_array_equal(layer.data, wanted[structure])
        assert layer.colormap.name == colour
        assert layer.units == light.units
        np.testing.assert_array_equal(layer.extent.world, light.extent.world)
        assert layer.metadata["ssp_model"]["structure"] == structure
    assert widget.status.text() == "2 structures predicted"
    # what is predicted is no input
    assert [widget.layer.itemText(number) for number in range(widget.layer.count())] == ["light"]
    assert told() == []


def test_time_points_of_a_channel_are_one_layer(ready, widget, viewer, model):
    many = ready(RAW, axis_labels=("t", "c", "z", "y", "x"), units=("s", "pixel", "um", "um", "um"))
    assert widget.axes.currentText() == "2 time points, 3 channels, 9 planes"
    widget.channel.setCurrentText("1")
    widget.structures.item(0).setCheckState(widget.structures.item(0).checkState().Unchecked)
    predict(widget)
    (layer,) = viewer.layers[1:]
    assert layer.data.shape == (2, 1, 9, 20, 40)
    predictor = Predictor(model, device="cpu")
    for time in range(2):
        wanted = predictor.predict(RAW[time, 1], ["zo1"], voxel_size_um=SIZES)["zo1"]
        np.testing.assert_array_equal(layer.data[time, 0], wanted)
    # it is shown with every channel
    np.testing.assert_array_equal(np.delete(layer.extent.world, 1, 1), np.delete(many.extent.world, 1, 1))
    for channel in range(3):
        viewer.dims.set_current_step(1, channel)
        assert layer._data_view.any()


@pytest.mark.parametrize("button", ["of the widget", "of napari"])
def test_cancel_stops_in_a_volume_and_adds_nothing(ready, widget, viewer, held, button):
    ready(np.tile(RAW[0, 0], (2, 6, 1)), units="um")
    widget.predict.click()
    wait_until(lambda: held.reached and "window" in widget.status.text())
    if button == "of the widget":
        assert widget.status.text().endswith(" of 224 windows")
        widget.cancel.click()
    else:
        widget._running._bar.cancel()
    held.go.set()
    wait_until(widget.predict.isEnabled)
    assert held.batches == 2
    assert [layer.name for layer in viewer.layers] == ["light"]
    assert told() == ["INFO: The prediction was stopped; no layer is added."]
    assert not widget.cancel.isEnabled()


def test_cancel_takes_the_time_points_away_that_were_there(ready, widget, viewer):
    layer = ready(Series(RAW[:, 0]), axis_labels=("t", "z", "y", "x"), contrast_limits=(80, 120))
    widget.predict.click()
    wait_until(lambda: len(viewer.layers) == 3)
    assert np.isnan(viewer.layers[1].data[1]).all()
    assert not np.isnan(viewer.layers[1].data[0]).any()
    widget.cancel.click()
    layer.data.go.set()
    wait_until(widget.predict.isEnabled)
    assert list(viewer.layers) == [layer]
    assert viewer.layers.selection == {layer}


class Series:
    """A series that is read slowly: the second time point not before it is let go."""

    def __init__(self, voxels: np.ndarray) -> None:
        self.voxels, self.shape, self.dtype, self.ndim = voxels, voxels.shape, voxels.dtype, voxels.ndim
        self.go = threading.Event()

    def __getitem__(self, key):
        if key[0] == 1 and threading.current_thread() is not threading.main_thread():
            self.go.wait()
        return self.voxels[key]


def test_an_error_is_one_sentence_and_adds_nothing(ready, widget, viewer):
    ready(np.stack([RAW[0, 0], np.full_like(RAW[0, 0], 7)]), axis_labels=("t", "z", "y", "x"), units="um")
    predict(widget)
    assert told() == [
        "ERROR: Layer 'light', time 1 channel 0 is constant (every voxel is 7), so it can't be standardised."
    ]
    assert [layer.name for layer in viewer.layers] == ["light"]


def test_a_layer_without_sizes_is_predicted_as_a_file_without(ready, widget, viewer, model):
    ready(RAW[0, 0], scale=(1, 1, 1))
    predict(widget)
    wanted = Predictor(model, device="cpu").predict(RAW[0, 0])
    np.testing.assert_array_equal(viewer.layers[1].data, wanted["tom20"])
    sentence = "gives no pixel size along Z, Y, X: it is resized there by the factor of the training images."
    assert told() == [f"WARNING: Layer 'light' {sentence}"]


def test_a_size_that_is_typed_wins(ready, widget, viewer, model):
    ready(RAW[0, 0], scale=(1, 1, 1))
    widget.voxel_size.setText("0.6 0.3 0.15")
    predict(widget)
    wanted = Predictor(model, device="cpu").predict(RAW[0, 0], voxel_size_um=SIZES)
    np.testing.assert_array_equal(viewer.layers[1].data, wanted["tom20"])
    np.testing.assert_array_equal(viewer.layers[1].scale, (1, 1, 1))
    assert told() == []


def test_a_prediction_goes_on_if_its_widget_is_closed(viewer, model, held):
    viewer.layers.clear()
    notification_manager.records.clear()
    viewer.add_image(RAW[0, 0], name="light", scale=SIZES, units="um")
    dock, widget = viewer.window.add_plugin_dock_widget("ssp-model", "Predict structures", tabify=True)
    choose_model(widget, model)
    widget.predict.click()
    wait_until(lambda: held.reached)
    running = widget._running
    viewer.window.remove_dock_widget(dock)
    held.go.set()
    wait_until(lambda: running not in running._running)
    assert len(viewer.layers) == 3
    assert told() == []
