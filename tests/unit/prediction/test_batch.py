"""Many images: planned, refused, predicted, summed up."""

import logging
import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import write_channels
from ssp_model.models.model_file import load_model, save_model
from ssp_model.prediction import batch, image
from ssp_model.prediction.batch import predict_images
from ssp_model.prediction.likeness import DISTANCE, WARNING
from ssp_model.prediction.outputs import read_provenance
from ssp_model.prediction.plan import OutputSettings
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.requests import ImageRequest
from ssp_model.prediction.scratch import stopped_in_a_sentence
from tests.textures import texture, told_of

RAW = np.random.default_rng(0).normal(100, 5, size=(6, 20, 24)).astype(np.float32)


@pytest.fixture
def predictor(model) -> Predictor:
    return Predictor(model, precision="float32", device="cpu", overlap=0.0)


@pytest.fixture
def images(tmp_path, monkeypatch) -> list[ImageRequest]:
    """Two images."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_channels(f"{name}.tif", [RAW * (1 + (name == "b"))], ["light"], (0.3, 0.2, 0.2))
    return [ImageRequest(Path(f"{name}.tif")) for name in ("a", "b")]


def statuses(outcomes) -> list[tuple[str, str]]:
    return [(outcome.image, outcome.status) for outcome in outcomes]


def names(folder="out") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_bad_image_costs_no_other_work(predictor, images, caplog):
    caplog.set_level(logging.INFO)
    Path("constant.tif").touch()
    write_channels("constant.tif", [np.ones((6, 20, 24), np.float32)], ["light"], (0.3, 0.2, 0.2))
    bad = [ImageRequest(Path(name)) for name in ("missing.tif", "constant.tif")]
    outcomes = predict_images(predictor, [bad[0], images[0], bad[1], images[1]], "out", OutputSettings())
    assert sorted(statuses(outcomes)) == [
        ("a.tif", "done"),
        ("b.tif", "done"),
        ("constant.tif", "failed"),
        ("missing.tif", "failed"),
    ]
    assert names() == ["a.ome.tif", "b.ome.tif"]
    assert caplog.messages[-3:] == [
        "2 done, 0 skipped, 2 failed",
        "failed: missing.tif does not exist; check the path.",
        "failed: constant.tif channel 0 (light) is constant (every voxel is 1), so it can't be standardised.",
    ]


def test_the_work_is_told_before_it_starts(predictor, images, caplog):
    caplog.set_level(logging.INFO)
    predict_images(predictor, images, "out", OutputSettings(("zo1",)))
    disk, work = caplog.messages[:2]
    assert disk.startswith("disk: 61.4 kB for the predictions (less if they compress well) and 31.5 kB meanwhile, of ")
    # 13 x 16 pixels fit in a window
    voxels = 2 * 6 * 13 * 16
    assert work.startswith(f"2 images, 1 structure: {voxels:,} voxels at the model's size, 2 windows, about ")


def test_a_colour_image_is_refused_before_any_work(predictor, images, caplog):
    caplog.set_level(logging.INFO)
    metadata = {"axes": "ZYXS", "PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.2, "PhysicalSizeX": 0.2}
    tifffile.imwrite("rgb.tif", np.zeros((6, 20, 24, 3), np.uint8), ome=True, photometric="rgb", metadata=metadata)
    (outcome,) = predict_images(predictor, [ImageRequest(Path("rgb.tif"))], "out", OutputSettings())
    assert "is a colour image, not an intensity" in outcome.problem
    assert not any("voxels at the model's size" in message for message in caplog.messages)


def test_predictions_that_are_there_are_skipped(predictor, images, caplog):
    predict_images(predictor, images[:1], "out", OutputSettings())
    before = Path("out/a.ome.tif").stat().st_mtime_ns
    caplog.set_level(logging.INFO)
    outcomes = predict_images(predictor, images, "out", OutputSettings())
    assert sorted(statuses(outcomes)) == [("a.tif", "skipped"), ("b.tif", "done")]
    assert "out/a.ome.tif is there already: skipped" in caplog.messages
    assert Path("out/a.ome.tif").stat().st_mtime_ns == before
    outcomes = predict_images(predictor, images[:1], "out", OutputSettings(), overwrite=True)
    assert statuses(outcomes) == [("a.tif", "done")]
    assert Path("out/a.ome.tif").stat().st_mtime_ns != before


def test_a_prediction_of_something_else_is_not_taken_for_the_same(predictor, images):
    predict_images(predictor, images, "out", OutputSettings())
    with pytest.raises(InputError, match=r"a.ome.tif is there already, but was predicted otherwise .*structures\)"):
        predict_images(predictor, images, "out", OutputSettings(("zo1",)))
    Path("other").mkdir()
    shutil.copy("b.tif", "other/a.tif")
    with pytest.raises(InputError, match=r"it differs in: image, image bytes\)"):
        predict_images(predictor, [ImageRequest(Path("other/a.tif"))], "out", OutputSettings())


def test_nothing_is_ever_written_onto_an_input(predictor, images):
    raw = Path("a.tif").rename("a.ome.tif").read_bytes()
    Path("link").symlink_to(".")
    for folder in (".", "link"):
        with pytest.raises(InputError, match="would replace .*a.ome.tif, which is an image to predict"):
            predict_images(predictor, [ImageRequest(Path("a.ome.tif"))], folder, OutputSettings(), overwrite=True)
    assert Path("a.ome.tif").read_bytes() == raw
    # an older image of another program
    Path("out").mkdir()
    shutil.copy("a.ome.tif", "out/b.ome.tif")
    with pytest.raises(InputError, match="out/b.ome.tif exists and was not written by ssp predict"):
        predict_images(predictor, images[1:], "out", OutputSettings(), overwrite=True)
    assert Path("out/b.ome.tif").read_bytes() == raw


def test_two_outputs_of_one_name_are_told(predictor, images):
    requests = [ImageRequest(Path("a.tif"), channel) for channel in (0, "light")]
    with pytest.raises(InputError, match=r"^a.tif is given twice, .* both predictions would be out/a.ome.tif"):
        predict_images(predictor, requests, "out", OutputSettings())
    assert names() == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_predicted(predictor, images, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"^The disk of out is too small: it needs 92.2 kB for .*, and 1 kB are free"):
        predict_images(predictor, images, "out", OutputSettings())
    assert names() == []


def test_an_image_that_does_not_fit_in_memory_is_told(predictor, images):
    (outcome,) = predict_images(predictor, images[:1], "out", OutputSettings(max_memory=10**7))
    assert outcome.problem.startswith("a.tif needs about ")
    assert "but --max-memory is 0.0 GB; allow more memory" in outcome.problem


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (MemoryError(), "a.tif does not fit in memory; close other programs or give --max-memory."),
        (PermissionError(13, "Permission denied"), "out/a.ome.tif can't be written (Permission denied)."),
        (KeyError("x"), "a.tif failed by an error of this program: KeyError: 'x'"),
    ],
)
def test_an_error_on_the_way_costs_one_image_and_leaves_no_scrap(predictor, images, monkeypatch, error, problem):
    write = image.write_ome_tiff

    def fail_once(path, planes, content):
        if path.name == "a.ome.tif":
            path.touch()
            raise error
        write(path, planes, content)

    monkeypatch.setattr(image, "write_ome_tiff", fail_once)
    failed, done = predict_images(predictor, images, "out", OutputSettings())
    assert (failed.status, failed.output, failed.problem) == ("failed", "", problem)
    assert done.status == "done"
    assert names() == ["b.ome.tif"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_on_the_way_leaves_no_scrap(predictor, images, monkeypatch, number):
    @contextmanager
    def stop(*_):
        yield lambda amount: os.kill(os.getpid(), number)

    monkeypatch.setattr(batch, "progress", stop)
    with pytest.raises(SystemExit) as raised, stopped_in_a_sentence():
        predict_images(predictor, images, "out", OutputSettings())
    assert raised.value.code == 128 + number
    assert names() == []


def test_what_the_reader_says_of_a_file_is_said_once(predictor, images, caplog):
    tifffile.imwrite("t.tif", np.stack([RAW, RAW + 1])[:, :, None].astype(np.float32), imagej=True)
    caplog.set_level(logging.WARNING)
    predict_images(predictor, [ImageRequest(Path("t.tif"), voxel_size_um=(0.3, 0.3, 0.3))], "out", OutputSettings())
    assert len(set(caplog.messages)) == len(caplog.messages)


def test_a_scene_that_can_not_be_predicted_costs_no_other_scene(predictor, images):
    sizes = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.2, "PhysicalSizeX": 0.2}
    with tifffile.TiffWriter("scenes.tif", ome=True) as file:
        for name, given in (("overview", {}), ("field", sizes)):
            file.write(RAW, metadata={"axes": "ZYX", "Name": name, **given}, photometric="minisblack")
    predictor.info.preprocess["scale"] = None
    failed, done = predict_images(predictor, [ImageRequest(Path("scenes.tif"))], "out", OutputSettings())
    assert (failed.scene, failed.status) == ("0", "failed")
    assert failed.problem.startswith("scenes.tif, scene 0 (overview) has no usable pixel size along Z, Y, X")
    assert (done.scene, done.output) == ("1", "out/scenes_field.ome.tif")


@pytest.fixture
def learnt(model, tmp_path, monkeypatch) -> Predictor:
    """A model that tells of training images, and two images in this folder: one like them, one inverted."""
    monkeypatch.chdir(tmp_path)
    network, info = load_model(model)
    save_model(network, replace(info, signals=told_of([texture(seed) for seed in range(6)])), model)
    for name, raw in {"like.tif": texture(100), "inverted.tif": -texture(100)}.items():
        write_channels(name, [1000 + 50 * raw], ["light"], (0.3, 0.3, 0.3))
    return Predictor(model, precision="float32", device="cpu", overlap=0.0)


@pytest.mark.parametrize("output_format", ["ome-tiff", "ome-zarr"])
def test_an_image_that_is_unlike_the_training_images_is_told(learnt, caplog, output_format):
    caplog.set_level(logging.WARNING)
    requests = [ImageRequest(Path(f"{name}.tif")) for name in ("like", "inverted")]
    settings = OutputSettings(format=output_format)
    like, inverted = predict_images(learnt, requests, "out", settings)
    assert 0 < float(like.distance) < 1 < float(inverted.distance)
    assert like.warning == ""
    assert inverted.warning.startswith("inverted.tif is unlike the training images (distance ")
    assert inverted.warning.endswith(": its contrast looks inverted: dark and bright are exchanged.")
    assert caplog.messages == [inverted.warning, "1 of 2 images are unlike the training images"]
    of_like, of_inverted = (read_provenance(Path(outcome.output)) for outcome in (like, inverted))
    assert (of_like[DISTANCE], of_inverted[DISTANCE]) == (like.distance, inverted.distance)
    assert WARNING not in of_like
    assert of_inverted[WARNING] == inverted.warning
    # a prediction that is there keeps its warning
    again = predict_images(learnt, requests, "out", settings)
    assert again == [replace(outcome, status="skipped") for outcome in (like, inverted)]


def test_the_time_point_that_is_least_like_counts(learnt):
    stacks = np.stack([1000 + 50 * texture(100), 1000 - 50 * texture(100), 1000 + 50 * texture(101)])
    tifffile.imwrite("t.tif", stacks[:, :, None].astype(np.float32), imagej=True)
    request = ImageRequest(Path("t.tif"), voxel_size_um=(0.3, 0.3, 0.3))
    (outcome,) = predict_images(learnt, [request], "out", OutputSettings())
    assert "its contrast looks inverted" in outcome.warning


def test_a_model_that_tells_nothing_is_said_to_once(predictor, images, caplog):
    caplog.set_level(logging.INFO)
    outcomes = predict_images(predictor, images, "out", OutputSettings())
    assert [(outcome.distance, outcome.warning) for outcome in outcomes] == [("", "")] * 2
    assert [message for message in caplog.messages if "training images" in message] == [
        "model.safetensors does not tell of its training images, so it is not checked whether the images are like them"
    ]


def test_few_training_images_are_told(learnt, caplog):
    caplog.set_level(logging.INFO)
    told = learnt.info.signals
    told["measures"], told["pixel_size_um"] = told["measures"][:2], told["pixel_size_um"][:2]
    (outcome,) = predict_images(learnt, [ImageRequest(Path("inverted.tif"))], "out", OutputSettings())
    assert outcome.warning == ""
    assert (
        "model.safetensors has learnt from 2 images, too few to tell what is usual, so only voxel sizes are compared"
        in caplog.messages
    )
