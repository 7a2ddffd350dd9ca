"""Predictions that spread, and what their spread means."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from ssp_model.config.schema import PredictConfig
from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import read_ome_tiff, write_channels
from ssp_model.models.model_file import read_info, save_model
from ssp_model.prediction import image as image_module
from ssp_model.prediction.batch import predict_images
from ssp_model.prediction.outputs import read_provenance
from ssp_model.prediction.plan import OutputSettings
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.requests import ImageRequest
from ssp_model.prediction.signal_predictor import SignalPredictor
from ssp_model.prediction.uncertainty import (
    Calibration,
    Ensemble,
    find_calibrations,
    make_ensemble,
    read_calibrations,
)
from tests.helpers import random_network

# more than one window along Y
SIGNAL = np.random.default_rng(0).normal(size=(16, 40, 16)).astype(np.float32)
WINDOWS = PredictConfig(patch=None, overlap=0.5, flips="")


@pytest.fixture
def paths(model) -> list[Path]:
    """Two models of the same structures and different methods, with random weights."""
    found = []
    for method, settings in (("condnet", {"width": 2}), ("multi_head_last", {"width": 4, "kernel": 3})):
        found.append(model.with_name(f"{len(found)}.safetensors"))
        info = replace(read_info(model), method=method, settings=settings)
        save_model(random_network(method, 2, 0, **settings), info, found[-1])
    return found


def predictors(paths, flips="") -> list[SignalPredictor]:
    return [SignalPredictor(path, WINDOWS.model_copy(update={"flips": flips}), "float32") for path in paths]


def spread_of(ensemble, signal=SIGNAL, **options) -> tuple[np.ndarray, np.ndarray]:
    mean, spread = np.empty((2, *signal.shape), np.float32)
    ensemble.predict_signal(signal, "zo1", mean=mean, uncertainty=spread, **options)
    return mean, spread


def flipped(predictor, axes, signal=SIGNAL) -> np.ndarray:
    """The prediction of a flipped image, turned back. There is only one window along these axes."""
    return np.flip(predictor.predict_signal(np.flip(signal, axes).copy(), "zo1"), axes)


def assert_spread(found, members):
    np.testing.assert_allclose(found[0], np.mean(members, axis=0), atol=1e-5)
    np.testing.assert_allclose(found[1], np.std(members, axis=0, ddof=1), atol=1e-5)
    assert found[1].mean() > 1e-3


def test_the_spread_over_flips(paths):
    (predictor,) = predictors(paths[:1])
    done = []
    ensemble = Ensemble([predictor], "flips")
    window = SIGNAL[:, :16]
    members = [flipped(predictor, axes, window) for axes in ((), (1,), (2,), (1, 2))]
    assert_spread(spread_of(ensemble, window, advance=done.append), members)
    assert sum(done) == 4 * window.size
    assert ensemble.count(SIGNAL.shape) == 4 * predictor.windows.count(SIGNAL.shape)


def test_the_flips_of_the_windows_are_the_members(paths):
    (plain,), (averaged,) = predictors(paths[:1]), predictors(paths[:1], "x")
    found = spread_of(Ensemble([averaged], "flips"))
    assert_spread(found, [flipped(plain, ()), flipped(plain, (2,))])
    np.testing.assert_allclose(found[0], averaged.predict_signal(SIGNAL, "zo1"), atol=1e-5)


def test_the_spread_over_models(paths):
    models = predictors(paths, "x")
    assert_spread(spread_of(Ensemble(models, "seeds")), [model.predict_signal(SIGNAL, "zo1") for model in models])
    assert Ensemble(models, "seeds").count(SIGNAL.shape) == 2 * models[0].windows.count(SIGNAL.shape)


def test_the_spread_over_both(paths):
    plain = predictors(paths)
    members = [flipped(model, axes) for model in plain for axes in ((), (2,))]
    assert_spread(spread_of(Ensemble(predictors(paths, "x"), "both")), members)


def test_models_that_can_not_be_an_ensemble(paths, model):
    one, other = predictors(paths)
    for kind, models, sentence in (
        ("flips", [one, other], "over flips of one model, but 2 are given; use seeds or both, or give one"),
        ("seeds", [one], "uncertainty seeds needs several models, but only .*0.safetensors is given; name the others"),
        ("both", [one], "uncertainty both needs several models"),
        ("seeds", [one, one], "0.safetensors is the same model as .*0.safetensors, so they never differ"),
    ):
        with pytest.raises(InputError, match=sentence):
            Ensemble(models, kind)
    other.info = replace(other.info, structures=("zo1", "golgi"))
    with pytest.raises(InputError, match="1.safetensors does not predict tom20, but .*0.safetensors does"):
        Ensemble([one, other], "both")
    other.info = replace(one.info, voxel_size_um=(1.0, 0.3, 0.3))
    with pytest.raises(InputError, match="1.safetensors was trained at another voxel size than .*0.safetensors"):
        Ensemble([one, other], "both")


CALIBRATION = Calibration(np.array([0.01, 0.1]), np.array([0.2, 0.5]), 3)


def test_a_calibrated_uncertainty(paths):
    ensemble = Ensemble(predictors(paths), "seeds", {"zo1": CALIBRATION})
    mean, spread = spread_of(Ensemble(predictors(paths), "seeds"))
    found = spread_of(ensemble)
    np.testing.assert_array_equal(found[0], mean)
    np.testing.assert_array_equal(found[1], CALIBRATION.expected(spread))
    # as low as at the first point, between two points, and beyond the last
    expected = CALIBRATION.expected(np.array([0, 0.01, 0.055, 0.1, 0.2]))
    np.testing.assert_allclose(expected, [0.2, 0.2, 0.35, 0.5, 1.0], rtol=1e-6)
    no_spread = Calibration(np.zeros(1), np.full(1, 0.3), 1)
    np.testing.assert_allclose(no_spread.expected(np.array([0, 1])), 0.3, rtol=1e-6)


def write_calibration(folder, ensemble, **changed) -> Path:
    rows = {"structure": "zo1", **ensemble.identity, **vars(CALIBRATION), **changed}
    path = folder / "zo1.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_calibration_is_read_for_its_own_predictions(paths, tmp_path):
    models = predictors(paths)
    ensemble = Ensemble(models, "seeds")
    folder = tmp_path / "calibration"
    folder.mkdir()
    table = write_calibration(folder, ensemble)
    assert find_calibrations(folder) == [table]
    # the order of the models is no difference
    made = make_ensemble(models[::-1], "seeds", [table])
    assert list(made.calibrations) == ["zo1"]
    np.testing.assert_array_equal(made.calibrations["zo1"].error, CALIBRATION.error)
    assert made.calibrations["zo1"].images == 3
    assert make_ensemble(models, None) is None
    for other, differ in ((Ensemble(models, "both"), "uncertainty, flips"), (Ensemble(models[:1], "flips"), "models")):
        with pytest.raises(InputError, match=rf"zo1.csv is the calibration of other predictions \(other .*{differ}"):
            read_calibrations([table], other)


def test_what_is_no_calibration(paths, tmp_path):
    ensemble = Ensemble(predictors(paths), "seeds")
    with pytest.raises(InputError, match="has no calibration; give a folder of tables"):
        find_calibrations(tmp_path / "none")
    for content in ("", "structure,spread\nzo1,1\n", "structure,uncertainty,flips,models,spread,error,images\n"):
        (tmp_path / "zo1.csv").write_text(content)
        with pytest.raises(InputError, match="zo1.csv can't be read as a calibration"):
            read_calibrations([tmp_path / "zo1.csv"], ensemble)


RAW = np.random.default_rng(0).normal(100, 5, size=(9, 20, 40)).astype(np.float32)


def predicted(path, settings, predictor, out="out") -> Path:
    """The output of an image of these voxels."""
    write_channels(path.with_name("a.tif"), [RAW], ["light"], (0.6, 0.3, 0.15))
    (outcome,) = predict_images(predictor, [ImageRequest(path.with_name("a.tif"))], path.with_name(out), settings)
    assert outcome.status == "done", outcome
    return Path(outcome.output)


@pytest.mark.parametrize("grid", ["image", "model"])
def test_an_output_has_a_channel_of_the_uncertainty(paths, grid, monkeypatch):
    predictor = Predictor(paths[0], precision="float32", device="cpu")
    ensemble = Ensemble([predictor], "flips", {"zo1": CALIBRATION})
    settings = OutputSettings(grid=grid, ensemble=ensemble)
    output = predicted(paths[0], settings, predictor)
    written = read_ome_tiff(output)
    names = ["transmitted light", "tom20", "tom20 uncertainty", "zo1", "zo1 uncertainty"]
    assert written.channel_names == names
    if grid == "model":
        signal, _, _, *zo1 = written.channels
        for channel, wanted in zip(zo1, spread_of(ensemble, signal), strict=True):
            np.testing.assert_allclose(channel, wanted, atol=1e-5)
    assert min(written.channels[2].min(), written.channels[4].min()) >= 0
    told = read_provenance(output)
    assert told["predictions"] == "mean of 4 predictions (flips)"
    assert told["tom20 uncertainty"] == "raw spread (standard deviation of the predictions), not calibrated"
    assert told["zo1 uncertainty"] == "expected error by spread, calibrated on 3 images: 0.01: 0.2, 0.1: 0.5"
    # volumes that lie in files
    monkeypatch.setattr(image_module, "SHARE_OF_VOLUMES", 10**12)
    again = predicted(paths[0], settings, predictor, "again")
    np.testing.assert_allclose(tifffile.imread(again), tifffile.imread(output), atol=1e-6)


def test_an_output_without_uncertainty_is_another_one(paths):
    predictor = Predictor(paths[0], precision="float32", device="cpu")
    predicted(paths[0], OutputSettings(), predictor)
    with pytest.raises(InputError, match="was predicted otherwise .*tom20 uncertainty"):
        predicted(paths[0], OutputSettings(ensemble=Ensemble([predictor], "flips")), predictor)
