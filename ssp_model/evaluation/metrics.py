"""Metrics of a prediction over a whole image, voxel by voxel (RepMode, section 4.1, and what others report).

What says more than an error is in panels (`panels.py`). To add a metric of voxels, add an entry to the table `METRIC`:
it gets a column in the tables of scores and a place in the report.

All but `ssim` give the numbers of torchmetrics 1.9 to the bit, without its import, which takes longer than they do.
`ssim` agrees with torchmetrics to 1e-5, but filters along one axis after another, which is many times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    # figures and pages, which have their titles from here, do without torch
    from torch import Tensor

SSIM_SIGMA = 1.5
"""Standard deviation of the Gaussian window of SSIM, in voxels."""

SSIM_RADIUS = 5
"""Voxels from the middle of the window to its end."""


@dataclass(frozen=True)
class Metric:
    """A number that says something about a prediction.

    Attributes
    ----------
    name : str
        Name of its column in tables.
    title : str
        What a person calls it.
    higher_is_better : bool, or None
        None if neither is.
    digits : int
        Decimals that a table shows.
    """

    name: str
    title: str
    higher_is_better: bool | None
    digits: int

    @property
    def title_with_direction(self) -> str:
        """The title, and whether high or low values are good."""
        if self.higher_is_better is None:
            return self.title
        return f"{self.title} ({'higher' if self.higher_is_better else 'lower'} is better)"


@dataclass(frozen=True)
class VoxelMetric(Metric):
    """How near a prediction is to its target, voxel by voxel.

    Attributes
    ----------
    compute : callable
        Of prediction and target, (Z, Y, X), float64, standardised, over all voxels; NaN where it is not defined.
    """

    higher_is_better: bool
    compute: Callable[[Tensor, Tensor], float]


def mean_squared_error(prediction: Tensor, target: Tensor) -> float:
    """Return the mean of the squared differences."""
    difference = (prediction - target).flatten()
    return (difference * difference).sum(0).item() / len(difference)


def mean_absolute_error(prediction: Tensor, target: Tensor) -> float:
    """Return the mean of the absolute differences."""
    difference = (prediction - target).flatten()
    return difference.abs().sum(0).item() / len(difference)


def coefficient_of_determination(prediction: Tensor, target: Tensor) -> float:
    """Return R²: 1 for a perfect prediction, 0 for one that is no better than the target's mean."""
    target = target.flatten()
    residual = target - prediction.flatten()
    total = target.sum(0).item()
    of_target = (target * target).sum(0).item() - total * (total / len(target))
    of_residual = (residual * residual).sum(0).item()
    # a sum of squares below this counts as zero
    if of_residual <= 1e-4:
        return 1.0
    return 0.0 if abs(of_target) <= 1e-4 else 1 - of_residual / of_target


def correlation(prediction: Tensor, target: Tensor) -> float:
    """Return Pearson's correlation; NaN for a constant prediction or target."""
    num_voxels = prediction.numel()
    p, t = (image.flatten() - image.flatten().mean(0) for image in (prediction, target))
    # in units of the largest deviation, so that what counts as constant does not depend on the image's own unit
    unit_p, unit_t = (deviation.abs().max() for deviation in (p, t))
    variance_p = (p**2).sum(0) / (num_voxels - 1) * unit_p.pow(-2)
    variance_t = (t**2).sum(0) / (num_voxels - 1) * unit_t.pow(-2)
    if not min(variance_p.item(), variance_t.item()) >= np.finfo(np.float64).eps ** 0.5:
        return np.nan
    covariance = (p * t).sum(0) / (num_voxels - 1) / (unit_p * unit_t)
    return (covariance / (variance_p * variance_t).sqrt()).clamp(-1, 1).item()


def structural_similarity(prediction: Tensor, target: Tensor) -> float:
    """Return the mean structural similarity in 3D, with the target's range of values as the peak.

    Statistics are of a Gaussian window of 11 voxels along each axis; axes of fewer voxels are not windowed.
    """
    from scipy import ndimage

    p, t = (image.numpy().astype(np.float32) for image in (prediction, target))
    sigma = [SSIM_SIGMA if size > 2 * SSIM_RADIUS else 0 for size in t.shape]

    def smooth(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, sigma, mode="mirror", radius=SSIM_RADIUS)

    peak = value_range(target)
    small_mean, small_variance = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_p, mean_t = smooth(p), smooth(t)
    product_of_means, squares_of_means = mean_p * mean_t, mean_p**2 + mean_t**2
    covariance = smooth(p * t) - product_of_means
    variances = smooth(p**2 + t**2) - squares_of_means
    luminance = (2 * product_of_means + small_mean) / (squares_of_means + small_mean)
    structure = (2 * covariance + small_variance) / (variances + small_variance)
    return float((luminance * structure).mean(dtype=np.float64))


def peak_signal_to_noise(prediction: Tensor, target: Tensor) -> float:
    """Return the ratio of the target's range of values to the error, in dB."""
    import torch

    difference = prediction - target
    error = difference.pow(2).sum() / difference.numel()
    # as torchmetrics does: logarithms of the range and of ten in float32
    ratio = 2 * torch.tensor(value_range(target)).log() - error.log()
    return (ratio * (10 / torch.tensor(10.0).log())).item()


def value_range(image: Tensor) -> float:
    """Return the difference of the largest and the smallest value."""
    return float(image.max() - image.min())


METRIC = {
    metric.name: metric
    for metric in (
        VoxelMetric("mse", "MSE", higher_is_better=False, digits=3, compute=mean_squared_error),
        VoxelMetric("mae", "MAE", higher_is_better=False, digits=3, compute=mean_absolute_error),
        VoxelMetric("r2", "R²", higher_is_better=True, digits=3, compute=coefficient_of_determination),
        VoxelMetric("pearson", "Pearson r", higher_is_better=True, digits=3, compute=correlation),
        VoxelMetric("ssim", "SSIM", higher_is_better=True, digits=3, compute=structural_similarity),
        VoxelMetric("psnr", "PSNR in dB", higher_is_better=True, digits=2, compute=peak_signal_to_noise),
    )
}
"""All metrics by name, in the order of tables."""

METRICS = tuple(METRIC)


PANELS = {
    "noise": (
        Metric("r2_ceiling", "Highest possible R²", higher_is_better=None, digits=3),
        Metric("r2_share", "Share of the possible R²", higher_is_better=True, digits=2),
        Metric("pearson_ceiling", "Highest possible r", higher_is_better=None, digits=3),
        Metric("pearson_share", "Share of the possible r", higher_is_better=True, digits=2),
    ),
    "resolution": (
        Metric("resolution_xy_um", "Resolution in XY (um)", higher_is_better=False, digits=2),
        Metric("resolution_z_um", "Resolution in Z (um)", higher_is_better=False, digits=2),
        Metric("pearson_above_4um", "r of details above 4 um", higher_is_better=True, digits=3),
        Metric("pearson_2_to_4um", "r of details of 2 to 4 um", higher_is_better=True, digits=3),
        Metric("pearson_1_to_2um", "r of details of 1 to 2 um", higher_is_better=True, digits=3),
        Metric("pearson_below_1um", "r of details below 1 um", higher_is_better=True, digits=3),
    ),
    "objects": (
        Metric("dice", "Dice", higher_is_better=True, digits=3),
        Metric("volume_error", "Relative error of the volume", higher_is_better=None, digits=2),
        Metric("count_target", "Objects in the target", higher_is_better=None, digits=1),
        Metric("count_prediction", "Objects in the prediction", higher_is_better=None, digits=1),
        Metric("object_f1", "F1 of objects", higher_is_better=True, digits=3),
        Metric("centre_distance_um", "Distance of matched centres (um)", higher_is_better=False, digits=2),
    ),
}
"""Metrics that are measured together, by the name of their panel. The config says which panels a run measures."""

ALL_METRICS: dict[str, Metric] = {
    **METRIC,
    **{metric.name: metric for panel in PANELS.values() for metric in panel},
}
"""Those of voxels, then those of panels, by name."""


UNCERTAINTY = (
    Metric("mse", "MSE of the mean", higher_is_better=False, digits=3),
    Metric("calibration_error_before", "Calibration error before", higher_is_better=False, digits=2),
    Metric("calibration_error_after", "Calibration error after", higher_is_better=False, digits=2),
    Metric("error_most_certain", "Error where most certain", higher_is_better=None, digits=2),
    Metric("error_least_certain", "Error where least certain", higher_is_better=None, digits=2),
)
"""What is measured of the uncertainty of a structure, over all its test images."""


def label(metric: str) -> str:
    """Return what a person calls a metric."""
    return METRIC[metric].title


def score(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return all metrics of a prediction, in float64.

    Parameters
    ----------
    prediction, target : ndarray
        Standardised fluorescence, (Z, Y, X).
    """
    import torch

    p, t = (torch.from_numpy(np.ascontiguousarray(image, dtype=np.float64)) for image in (prediction, target))
    return {name: metric.compute(p, t) for name, metric in METRIC.items()}
