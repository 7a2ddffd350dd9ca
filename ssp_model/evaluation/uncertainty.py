"""Is the uncertainty right? Calibrated on validation images, and measured on test images: expected against real error.

Voxels are sorted by their spread. Among voxels of about the same spread, the root mean square error is what the
uncertainty should have said. All sums are of narrow classes of spread, so images of any size can be added.

Shapes: K classes of spread, G groups of images.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from ssp_model.data.dataset import Dataset
from ssp_model.evaluation.evaluate import image_file, samples_of, save_image
from ssp_model.evaluation.metrics import UNCERTAINTY
from ssp_model.evaluation.scores import group_codes, read_scores
from ssp_model.evaluation.statistics import interval
from ssp_model.files import replacing, write_table
from ssp_model.log import progress
from ssp_model.prediction.uncertainty import Calibration, Ensemble, read_calibrations

SMALLEST, LARGEST = 1e-4, 1e2
"""Spreads, in standardised intensities, beyond which all count as one class."""

CLASSES = 300
"""Classes of spread, each 5% wider than the one before."""

POINTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.998)
"""Shares of all voxels, sorted by spread, between the points of a calibration: more of them where errors are large."""

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The same between the levels of uncertainty in which expected and real error are compared."""

RESAMPLES = 1000
"""Bootstrap samples behind an interval."""


class Sums(NamedTuple):
    """Sums over the voxels of each class of spread, (..., K).

    Attributes
    ----------
    voxels : ndarray
        Their number.
    spread, error : ndarray
        Sums of the squared spread and of the squared error.
    """

    voxels: np.ndarray
    spread: np.ndarray
    error: np.ndarray


class Files(NamedTuple):
    """What is measured of a structure's test images.

    Attributes
    ----------
    scores : path
        CSV file: one row with the structure, the kind of `uncertainty`, the number of `images`, and
        `metrics.UNCERTAINTY` with their intervals.
    levels : path
        CSV file: a row for each level of uncertainty, with the number of its voxels, the root mean square spread and
        error, and the expected error after the calibration.
    images : path
        Folder of the median images: `{image}.ome.tif` with signal, target, prediction and expected error.
    """

    scores: str | Path
    levels: str | Path
    images: str | Path


def calibrate(ensemble: Ensemble, val_set: str | Path, structure: str, output: str | Path) -> None:
    """Find the error that a spread of a structure means, from validation images.

    Parameters
    ----------
    ensemble : Ensemble
        Without a calibration.
    val_set : path
        Dataset (HDF5).
    structure : str
    output : path
        CSV file to write: a row for each point of the calibration (`spread`, `error`), with `structure`, what the
        ensemble is, and the number of `images`.

    Raises
    ------
    InputError
        The dataset has no image of the structure, or is not for the models.
    """
    with Dataset(val_set) as dataset:
        images = [predicted.sums for predicted in predict_images(ensemble, dataset, structure)]
    found = fit(Sums(*np.sum(images, axis=0)), len(images))
    write_table(pd.DataFrame({"structure": structure, **ensemble.identity, **vars(found)}), output)


def measure_uncertainty(
    ensemble: Ensemble,
    test_set: str | Path,
    calibration: str | Path,
    *,
    scores_of_images: Collection[str | Path],
    structure: str,
    files: Files,
) -> None:
    """Compare the expected error with the real one, before and after the calibration, on test images.

    Parameters
    ----------
    ensemble : Ensemble
        Without a calibration.
    test_set : path
        Dataset (HDF5).
    calibration : path
        What `calibrate` has written.
    scores_of_images : collection of path
        Tables that `evaluate_structure` has written for the models; they tell which images are the median ones.
    structure : str
    files : Files

    Raises
    ------
    InputError
        The calibration is of another ensemble, the dataset has no image of the structure, or is not for the models.
    """
    found = read_calibrations([calibration], ensemble)[structure]
    shown = {name for path in scores_of_images for name in _median_files(path)}
    images = []
    with Dataset(test_set) as dataset, replacing(files.images) as folder:
        folder.mkdir()
        for sample, mean, spread, sums_of_image in predict_images(ensemble, dataset, structure):
            images.append(sums_of_image)
            if (name := image_file(dataset, sample)) in shown:
                save_image(dataset, sample, mean, folder / name, expected_error=found.expected(spread))
        codes = group_codes(dataset.index[dataset.index.task == structure])
    # images of a group are alike, so the bootstrap draws groups as a whole
    groups = np.stack([np.array(images)[codes == code].sum(axis=0) for code in range(codes.max() + 1)])
    total = Sums(*groups.sum(axis=0))
    drawn = np.random.default_rng(0).integers(len(groups), size=(RESAMPLES, len(groups)))
    draws = np.array([[*scores(Sums(*groups[some].sum(axis=0)), found).values()] for some in drawn])
    measured = scores(total, found)
    columns = interval([*measured], np.array([*measured.values()]), draws, len(groups))
    row = {"structure": structure, "uncertainty": ensemble.kind, "images": len(images), **columns}
    write_table(pd.DataFrame([row]), files.scores)
    write_table(levels(total, found), files.levels)


def _median_files(scores: str | Path) -> list[str]:
    table = read_scores(scores)
    return table.file[table.place == "median"].tolist()


class Predicted(NamedTuple):
    """An image: its number in the dataset, mean and raw spread of its predictions, (Z, Y, X), and its sums, (K,)."""

    sample: int
    mean: np.ndarray
    spread: np.ndarray
    sums: Sums


def predict_images(ensemble: Ensemble, dataset: Dataset, structure: str) -> Iterator[Predicted]:
    """Predict each image of a structure.

    Raises
    ------
    InputError
        The dataset has no image of the structure, or is not for the models.
    """
    samples = samples_of(dataset, structure, ensemble.models[0].info)
    with progress(f"uncertainty of {structure}", len(samples), "images") as advance:
        for sample in samples:
            signal = dataset.signal(sample)
            mean, spread = np.empty((2, *signal.shape), np.float32)
            ensemble.predict_signal(signal, structure, mean=mean, uncertainty=spread)
            yield Predicted(sample, mean, spread, sums(spread, dataset.target(sample)[()] - mean))
            advance(1)


def sums(spread: np.ndarray, error: np.ndarray) -> Sums:
    """Return the sums of an image, (K,), from the spread and the error of each voxel."""
    squared_spread, squared_error = (np.square(values, dtype=np.float64).ravel() for values in (spread, error))
    with np.errstate(divide="ignore"):
        place = np.log(spread.ravel() / SMALLEST) / np.log(LARGEST / SMALLEST)
    classes = np.clip(place * CLASSES, 0, CLASSES - 1).astype(np.intp)
    counts = np.bincount(classes, minlength=CLASSES).astype(np.float64)
    weights = (np.bincount(classes, values, CLASSES) for values in (squared_spread, squared_error))
    return Sums(counts, *weights)


def fit(of: Sums, images: int) -> Calibration:
    """Return the calibration that the voxels of some images tell.

    More spread never means less error: the squared errors are those that rise and are nearest to the measured ones
    (isotonic regression).
    """
    voxels, spread, error = grouped(POINTS, *of)
    rising = isotonic_regression(error / voxels, weights=voxels).x
    return Calibration(np.sqrt(spread / voxels), np.sqrt(rising), images)


def grouped(shares: Sequence[float], *of_classes: np.ndarray) -> list[np.ndarray]:
    """Sum up classes, (K,), between shares of all voxels, which come first. Groups without voxels are left out."""
    voxels = of_classes[0]
    middle = (np.cumsum(voxels) - voxels / 2) / voxels.sum()
    groups = np.searchsorted(shares, middle)
    sums_of_groups = [np.bincount(groups, values, len(shares) + 1) for values in of_classes]
    return [values[sums_of_groups[0] > 0] for values in sums_of_groups]


def levels(of: Sums, calibration: Calibration) -> pd.DataFrame:
    """Compare spread, expected and real error at each level of uncertainty, as `Files.levels`."""
    spread_of_class = np.sqrt(np.divide(of.spread, of.voxels, out=np.zeros_like(of.spread), where=of.voxels > 0))
    voxels, *squares = grouped(LEVELS, *of, of.voxels * np.square(calibration.expected(spread_of_class), dtype=float))
    spread, error, expected = (np.sqrt(values / voxels) for values in squares)
    return pd.DataFrame({"voxels": voxels.astype(int), "spread": spread, "expected": expected, "error": error})


def scores(of: Sums, calibration: Calibration) -> dict[str, float]:
    """Return `metrics.UNCERTAINTY` of some images.

    The calibration error is the mean difference of expected and real error over the levels, weighted by their voxels,
    in units of the root mean square error of all voxels.
    """
    table = levels(of, calibration)
    mse = float(of.error.sum() / of.voxels.sum())
    off = [float(np.average(abs(table[name] - table.error), weights=table.voxels)) for name in ("spread", "expected")]
    before, after = (difference / np.sqrt(mse) if mse else np.nan for difference in off)
    ends = table.error.iloc[0], table.error.iloc[-1]
    return dict(zip((metric.name for metric in UNCERTAINTY), (mse, before, after, *map(float, ends)), strict=True))
