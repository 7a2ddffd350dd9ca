"""Run in a process with a screen: see conftest.py."""

import sys

import matplotlib
import numpy as np
import pytest

from tests.unit.napari_plugin.in_viewer import choose_model, predict, told

RAW = np.random.default_rng(0).normal(100, 5, size=(9, 20, 40)).astype(np.float32)
RESIZED = "No voxel size is known along Z, Y, X: it is resized there as the training images were."


def backend() -> object:
    # to read it as usual would choose one
    return dict.__getitem__(matplotlib.rcParams, "backend")


def texts(box) -> list[str]:
    return [box.itemText(number) for number in range(box.count())]


def structures(widget) -> list[str]:
    return [widget.structures.item(row).text() for row in range(widget.structures.count())]


def test_the_menu_opens_it_and_nothing_else_changes(viewer):
    before = backend()
    light = viewer.add_image(RAW, name="light", scale=(0.6, 0.3, 0.15), units="um")
    dna = viewer.add_image(RAW, name="dna")
    viewer.layers.selection = {light}
    dock, widget = viewer.window.add_plugin_dock_widget("ssp-model", "Predict structures")
    assert texts(widget.layer) == ["light", "dna"]
    assert (widget.layer.currentText(), widget.axes.currentText()) == ("light", "9 planes")
    assert (widget.voxel_size.text(), widget.hint.text()) == ("0.6 0.3 0.15", "")
    widget.layer.setCurrentIndex(1)
    dna.name = "DNA"
    assert (widget.layer.currentText(), widget.voxel_size.text()) == ("DNA", "")
    viewer.layers.remove(dna)
    assert texts(widget.layer) == ["light"]
    assert (widget.layer.currentText(), widget.voxel_size.text()) == ("light", "0.6 0.3 0.15")
    assert backend() is before
    assert "ssp_model.figures.images" not in sys.modules
    viewer.window.remove_dock_widget(dock)


def test_structures_and_devices_are_read_from_the_model(widget, model, tmp_path):
    choose_model(widget, model)
    assert structures(widget) == ["tom20", "zo1"]
    assert texts(widget.device)[:2] == ["auto", "cpu"]
    (tmp_path / "notes.safetensors").write_text("notes")
    choose_model(widget, tmp_path / "notes.safetensors")
    assert structures(widget) == []
    (said,) = told()
    assert said.startswith(f"ERROR: {tmp_path / 'notes.safetensors'} can't be read as a model file (")
    assert "\n" not in said
    predict(widget)
    assert told() == [said, said]


def test_what_is_not_chosen_is_told_in_a_sentence(widget, viewer, model):
    predict(widget)
    viewer.add_image(RAW, name="light")
    predict(widget)
    choose_model(widget, model)
    for row in range(2):
        widget.structures.item(row).setCheckState(widget.structures.item(row).checkState().Unchecked)
    predict(widget)
    for text in ("0.3 0.3", "0,3 0,2 0,2", "0.3 0 0.2"):
        widget.voxel_size.setText(text)
        predict(widget)
    assert [said.partition(";")[0] for said in told()] == [
        "ERROR: No layer is chosen",
        "ERROR: No model is chosen",
        "ERROR: No structure is chosen",
        *(
            f"ERROR: The voxel size is '{text}' but should be three lengths in um, Z Y X, such as 0.29 0.11 0.11"
            for text in ("0.3 0.3", "0,3 0,2 0,2", "0.3 0 0.2")
        ),
    ]
    assert len(viewer.layers) == 1


def test_axes_and_channel_of_a_layer_with_more_axes_must_be_chosen(widget, viewer, model):
    choose_model(widget, model)
    viewer.add_image(np.stack([RAW] * 3), name="many")
    assert texts(widget.axes) == [
        "choose ...", "3 time points, 9 planes", "3 channels, 9 planes", "3 planes, 9 time points",
        "3 planes, 9 channels", "3 time points, 9 channels, 1 plane", "3 channels, 9 time points, 1 plane",
    ]  # fmt: skip
    predict(widget)
    assert "Layer 'many' does not tell what its axes are; choose it under 'It holds'" in told()[-1]
    assert not widget.channel.isVisible()
    widget.axes.setCurrentIndex(2)
    assert widget.channel.isVisible()
    assert texts(widget.channel) == ["choose ...", "0", "1", "2"]
    predict(widget)
    assert "Layer 'many' has several channels; choose that of the transmitted light" in told()[-1]
    widget.channel.setCurrentIndex(3)
    widget.channel.activated.emit(3)
    assert viewer.dims.current_step[0] == 2
    # a new scale changes neither
    viewer.layers[0].scale = (1, 0.6, 0.3, 0.15)
    assert (widget.axes.currentIndex(), widget.channel.currentText()) == (2, "2")
    # channels of another axis are others
    widget.axes.setCurrentIndex(4)
    assert widget.channel.currentText() == "choose ..."
    assert len(viewer.layers) == 1


def test_a_layer_that_can_not_be_used_is_told(widget, viewer, model):
    choose_model(widget, model)
    viewer.add_image(np.zeros((4, 5, 6, 3), np.uint8), name="colours", rgb=True)
    sentence = "Layer 'colours' holds colours, not intensities; right-click it, choose Split RGB, and take one of the"
    assert widget.hint.text().startswith(sentence)
    predict(widget)
    assert told()[-1].startswith(f"ERROR: {sentence}")


def test_the_voxel_size_follows_the_layer(widget, viewer):
    layer = viewer.add_image(RAW, name="light")
    assert (widget.voxel_size.text(), widget.hint.text()) == ("", RESIZED)
    layer.scale = (0.6, 0.3, 0.15)
    assert widget.hint.text() == f"{RESIZED} Its scale 0.6, 0.3, 0.15 has no unit: type it if it is in um."
    layer.units = "um"
    assert (widget.voxel_size.text(), widget.hint.text()) == ("0.6 0.3 0.15", "")
    layer.scale = (0.6, 0.3, 30)
    doubt = "Its scale and units say 30 um along X, which no microscope has; type its voxel size."
    assert (widget.voxel_size.text(), widget.hint.text()) == ("0.6 0.3 ?", doubt)


@pytest.mark.parametrize("kind", ["labels", "points"])
def test_only_images_are_listed(widget, viewer, kind):
    add = {"labels": lambda: viewer.add_labels(RAW.astype(int)), "points": lambda: viewer.add_points()}
    add[kind]()
    assert texts(widget.layer) == []
