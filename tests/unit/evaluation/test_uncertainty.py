"""Expected and real error."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ssp_model.config.schema import PredictConfig
from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.evaluation.evaluate import image_file
from ssp_model.evaluation.metrics import METRICS, UNCERTAINTY
from ssp_model.evaluation.uncertainty import Files, Sums, calibrate, fit, levels, measure_uncertainty, scores, sums
from ssp_model.models.model_file import read_info, save_model
from ssp_model.prediction.signal_predictor import SignalPredictor
from ssp_model.prediction.uncertainty import Calibration, Ensemble, read_calibrations
from ssp_model.report.viewer import read_prediction
from tests.helpers import random_network

VOXELS = 200_000


def image(meaning, seed=0) -> Sums:
    """Voxels whose errors are normal, with a standard deviation that the spread means."""
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(-2.5, 1, VOXELS))
    return sums(spread.astype(np.float32), rng.normal(size=VOXELS) * meaning(spread))


def concave(spread):
    return 0.1 + spread**0.4


def test_sums_are_of_all_voxels():
    spread, error = np.array([[0, 1e-5], [0.2, 500]], np.float32), np.array([[1, 2], [3, 4]], np.float32)
    found = sums(spread, error)
    assert (found.voxels.sum(), found.error.sum()) == (4, 30)
    # too small ones and too large ones are in the first and in the last class
    assert (found.voxels[0], found.error[0], found.error[-1]) == (2, 5, 16)
    both = Sums(*np.add(found, found))
    assert both.voxels.sum() == 8


@pytest.mark.parametrize(
    "meaning", [concave, lambda s: 3 * s, lambda s: np.sqrt(0.04 + 9 * s**2), lambda s: 0.3 + 0 * s]
)
def test_a_calibration_finds_what_a_spread_means(meaning):
    found = fit(image(meaning), 1)
    np.testing.assert_allclose(found.error, meaning(found.spread), rtol=0.06)
    assert (np.diff(found.error) >= 0).all()
    # in other images that mean the same
    measured = scores(image(meaning, seed=1), found)
    assert measured["calibration_error_before"] > 0.3
    assert measured["calibration_error_after"] < 0.03


def test_more_spread_never_means_less_error():
    found = fit(image(lambda spread: 1 / (1 + 9 * spread)), 1)
    assert np.ptp(found.error) < 1e-6


def test_a_spread_that_is_the_error_needs_no_calibration():
    identity = Calibration(np.array([0.001, 1.0]), np.array([0.001, 1.0]), 1)
    measured = scores(image(lambda spread: spread), identity)
    assert measured["calibration_error_before"] < 0.01
    assert measured["calibration_error_after"] < 0.01


def test_the_calibration_error_is_a_part_of_the_real_error():
    """An uncertainty of twice the error is off by the whole error."""
    doubled = Calibration(np.array([1e3]), np.array([1.0]), 1)
    measured = scores(image(lambda spread: 0.5 + 0 * spread), doubled)
    assert measured["calibration_error_after"] == pytest.approx(1, rel=0.02)
    assert measured["mse"] == pytest.approx(0.25, rel=0.02)


def test_the_ends_say_whether_the_spread_tells_the_place_of_errors():
    table = levels(image(concave), fit(image(concave), 1))
    assert len(table) == 10
    assert table.voxels.sum() == VOXELS
    assert table.voxels.min() > VOXELS / 20
    measured = scores(image(concave), fit(image(concave), 1))
    assert measured["error_most_certain"] == pytest.approx(table.error.iloc[0])
    assert measured["error_least_certain"] > 1.5 * measured["error_most_certain"]


def test_predictions_that_do_not_differ():
    of = sums(np.zeros(9, np.float32), np.full(9, 2, np.float32))
    found = fit(of, 1)
    assert scores(of, found)["calibration_error_after"] == pytest.approx(0)
    assert scores(of, found)["calibration_error_before"] == pytest.approx(1)


@pytest.fixture
def ensemble(model) -> Ensemble:
    settings = {"width": 2}
    info = replace(read_info(model), method="condnet", settings=settings)
    save_model(random_network("condnet", 2, 0, **settings), info, model)
    predictor = SignalPredictor(model, PredictConfig(patch=None, overlap=0.0, flips="x"), "float32")
    return Ensemble([predictor], "flips")


@pytest.fixture
def measured_with(datasets, tmp_path):
    """Measure an ensemble, and return the files; the last image is the median."""
    with Dataset(datasets["test"]) as dataset:
        names = [image_file(dataset, sample) for sample in dataset.index.index[dataset.index.task == "zo1"]]
    table = {"experiment": "a", "place": ["worst", "median"], "file": names} | dict.fromkeys(METRICS, 0.5)
    pd.DataFrame(table).to_csv(tmp_path / "scores.csv", index=False)
    files = Files(*(tmp_path / name for name in ("zo1.csv", "zo1_levels.csv", "zo1")))

    def measure(ensemble, calibration):
        given = {"scores_of_images": [tmp_path / "scores.csv"], "structure": "zo1", "files": files}
        measure_uncertainty(ensemble, datasets["test"], calibration, **given)
        return files

    return measure


def test_calibrated_on_one_dataset_and_measured_on_another(ensemble, datasets, tmp_path, measured_with):
    calibration = tmp_path / "calibration/zo1.csv"
    calibrate(ensemble, datasets["val"], "zo1", calibration)
    assert pd.read_csv(calibration).images.unique().tolist() == [1]
    found = read_calibrations([calibration], ensemble)["zo1"]
    assert (np.diff(found.spread) > 0).all()
    files = measured_with(ensemble, calibration)
    (row,) = pd.read_csv(files.scores).to_dict("records")
    assert (row["structure"], row["uncertainty"], row["images"]) == ("zo1", "flips", 2)
    assert all(metric.name in row and np.isnan(row[f"{metric.name}_low"]) for metric in UNCERTAINTY)
    assert 0 <= row["calibration_error_after"] < 0.3 < row["calibration_error_before"]
    assert pd.read_csv(files.levels).voxels.sum() == 2 * 16 * 20 * 18


def test_what_is_measured_is_the_error_of_the_mean(ensemble, datasets, tmp_path, measured_with):
    calibrate(ensemble, datasets["val"], "zo1", tmp_path / "calibration.csv")
    files = measured_with(ensemble, tmp_path / "calibration.csv")
    errors = []
    with Dataset(datasets["test"]) as dataset:
        for sample in dataset.index.index[dataset.index.task == "zo1"]:
            mean, spread = np.empty((2, 16, 20, 18), np.float32)
            ensemble.predict_signal(dataset.signal(sample), "zo1", mean=mean, uncertainty=spread)
            errors.append(np.mean((mean - dataset.target(sample)[()]) ** 2))
    assert pd.read_csv(files.scores).mse[0] == pytest.approx(np.mean(errors), rel=1e-5)
    # the last one is the median image
    (path,) = files.images.iterdir()
    signal, target, prediction, expected = (np.asarray(channel) for channel in read_prediction(path).channels)
    found = read_calibrations([tmp_path / "calibration.csv"], ensemble)["zo1"]
    np.testing.assert_array_equal(prediction, mean)
    np.testing.assert_array_equal(expected, found.expected(spread))
    assert np.mean((prediction - target) ** 2) == pytest.approx(errors[-1], rel=1e-5)
    assert signal.std() == pytest.approx(1, rel=0.2)


def test_a_structure_without_images_and_another_ensemble(ensemble, datasets, tmp_path, measured_with):
    with pytest.raises(InputError, match=r"val.h5 has no image of golgi; it has tom20, zo1\."):
        calibrate(ensemble, datasets["val"], "golgi", tmp_path / "golgi.csv")
    calibrate(ensemble, datasets["val"], "zo1", tmp_path / "zo1.csv")
    other = Ensemble(ensemble.models, "flips")
    other.flips = "yx"
    with pytest.raises(InputError, match=r"zo1.csv is the calibration of other predictions \(other flips\)"):
        measured_with(other, tmp_path / "zo1.csv")
