"""Predictions of layers; without napari and Qt."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from ssp_model import Predictor
from ssp_model.errors import InputError
from ssp_model.images.description import PixelSize
from ssp_model.napari_plugin import prediction
from ssp_model.napari_plugin.layer import Axes, LayerSource
from ssp_model.napari_plugin.prediction import Job, Listener, Stopped, describe_model, predict_layer

RAW = np.random.default_rng(0).normal(100, 5, size=(2, 9, 20, 40)).astype(np.float32)
SIZES = (0.6, 0.3, 0.15)


class Heard:
    """What a listener is told; it may stop at a number of windows."""

    def __init__(self, stop_at: float = np.inf) -> None:
        self.totals, self.windows, self.warnings = [], [0], []
        self._stop_at = stop_at
        self.listener = Listener(self.totals.append, self.windows.append, self.warnings.append, self._check_stop)

    def _check_stop(self) -> None:
        if self.windows[-1] >= self._stop_at:
            raise Stopped


@pytest.fixture
def job(model):
    source = LayerSource("light", RAW, Axes(("time", "z")), PixelSize(SIZES, "test"), "", {"scale": (1, *SIZES)})
    return Job(source, 0, str(model), ("tom20", "zo1"), device="cpu")


def test_layers_grow_by_time_points_and_windows_are_counted(job, model):
    heard, predictor = Heard(), Predictor(model, device="cpu")
    steps = predict_layer(job, heard.listener)
    first = next(steps)
    (tom20, settings, kind), (_, others, _) = first
    assert kind == "image"
    assert (settings["name"], settings["colormap"], settings["scale"]) == ("tom20 (light)", "#56B4E9", (1, *SIZES))
    assert (others["name"], others["colormap"]) == ("zo1 (light)", "#E69F00")
    assert settings["contrast_limits"][0] < settings["contrast_limits"][1]
    np.testing.assert_array_equal(tom20[0], predictor.predict(RAW[0], ["tom20"], voxel_size_um=SIZES)["tom20"])
    assert np.isnan(tom20[1]).all()
    windows = predictor.windows.count((18, 20, 20))
    assert heard.totals == [4 * windows]
    assert heard.windows[-1] == 2 * windows
    (second,) = steps
    assert second[0][0] is tom20
    np.testing.assert_array_equal(tom20[1], predictor.predict(RAW[1], ["tom20"], voxel_size_um=SIZES)["tom20"])
    assert heard.windows[-1] == 4 * windows
    assert sorted(heard.windows) == heard.windows
    assert heard.warnings == []


def test_a_colour_belongs_to_a_structure(job):
    (((_, settings, _),), _) = predict_layer(replace(job, structures=("zo1",)), Heard().listener)
    assert settings["colormap"] == "#E69F00"


def test_it_stops_between_windows(job):
    large = replace(job.source, data=np.tile(RAW, (1, 1, 6, 1)))
    heard = Heard(stop_at=1)
    with pytest.raises(Stopped):
        next(predict_layer(replace(job, source=large), heard.listener))
    assert 0 < heard.windows[-1] < heard.totals[0] / 4
    assert len(heard.windows) == 2


def test_a_warning_of_all_time_points_is_told_once(job):
    heard = Heard()
    list(predict_layer(replace(job, source=replace(job.source, pixel_size=PixelSize())), heard.listener))
    assert heard.warnings == [
        "Layer 'light' gives no pixel size along Z, Y, X: it is resized there by the factor of the training images."
    ]


def test_a_warning_of_one_time_point_names_it(job, monkeypatch):
    predict, done = Predictor.predict, []

    def warn(self, image, *arguments, **options):
        done.append(image)
        if len(done) > 1:
            logging.getLogger("ssp_model.prediction.predictor").warning(
                "%s is unlike (distance %d.5).", image.name, len(done)
            )
        return predict(self, image, *arguments, **options)

    monkeypatch.setattr(Predictor, "predict", warn)
    heard = Heard()
    list(predict_layer(replace(job, source=replace(job.source, data=np.concatenate([RAW, RAW]))), heard.listener))
    assert len(done) == 4
    assert heard.warnings == ["Layer 'light', time 1 is unlike (distance 2.5)."]


def test_memory_is_looked_at_before_anything_is_predicted(job, monkeypatch):
    monkeypatch.setattr(prediction, "free_memory", lambda: 10**5)
    heard = Heard()
    with pytest.raises(InputError, match=r"^Layer 'light' needs about .* GB of memory, .* only 0.0 GB are free;"):
        next(predict_layer(job, heard.listener))
    assert heard.totals == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "Layer 'light' does not fit in memory; close"),
        (torch.OutOfMemoryError(), "Layer 'light' can't be predicted, as the memory of the GPU is too small; close"),
    ],
)
def test_too_little_memory_is_told_in_a_sentence(job, monkeypatch, error, sentence):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Predictor, "predict", fail)
    with pytest.raises(InputError, match=f"^{sentence}"):
        next(predict_layer(job, Heard().listener))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": ""}, "No model is chosen; give a model file"),
        ({"structures": ()}, "No structure is chosen; tick at least one"),
    ],
)
def test_what_is_missing_is_told_before(job, change, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(job, **change)


def test_a_model_tells_its_structures(model):
    info, devices = describe_model(str(model))
    assert info.structures == ("tom20", "zo1")
    assert devices[:2] == ["auto", "cpu"]
