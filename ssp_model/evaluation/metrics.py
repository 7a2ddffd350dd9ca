"""Scores of a prediction over a whole image (RepMode, section 4.1, and what others report).

Functions that score import torch themselves: tables and pages need the names of the metrics only, and start faster.
"""

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

SSIM_SIGMA = 1.5
SSIM_SIZE = 11
"""Voxels of the Gaussian window of SSIM along each axis."""


def score(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Scores over all voxels.

    Parameters
    ----------
    prediction, target : ndarray
        Standardised fluorescence, (Z, Y, X).

    Returns
    -------
    dict
        `mse`, `mae`, `r2` as published, `pearson` correlation (NaN for a constant prediction), all in float64; `ssim`,
        the mean structural similarity in 3D (Gaussian window of 1.5 voxels; axes of fewer than 11 voxels are not
        windowed), and `psnr` in dB, both with the target's range of values as the peak.
    """
    import torch
    from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score
    from torchmetrics.functional.image import peak_signal_noise_ratio

    p, t = (torch.from_numpy(np.ascontiguousarray(image, dtype=np.float64)) for image in (prediction, target))
    peak = float(t.max() - t.min())
    flat = p.flatten(), t.flatten()
    return {
        "mse": mean_squared_error(*flat).item(),
        "mae": mean_absolute_error(*flat).item(),
        "r2": r2_score(*flat).item(),
        "pearson": correlation(*flat),
        "ssim": structural_similarity(p, t, peak),
        "psnr": peak_signal_noise_ratio(*flat, data_range=peak).item(),
    }


def correlation(prediction: "torch.Tensor", target: "torch.Tensor") -> float:
    """Pearson correlation of all voxels, flat; NaN for a constant prediction."""
    from torchmetrics.functional import pearson_corrcoef

    with warnings.catch_warnings():
        # torchmetrics warns of what it returns NaN for
        warnings.filterwarnings("ignore", "The variance of predictions or target is close to zero")
        return pearson_corrcoef(prediction, target).item()


def squared_error(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean squared error over all voxels, in float64; (Z, Y, X) each."""
    return float(np.square(prediction.astype(np.float64) - target).mean())


def structural_similarity(prediction: "torch.Tensor", target: "torch.Tensor", peak: float) -> float:
    """SSIM in 3D by torchmetrics, (Z, Y, X) each."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    # a window too large for an axis is made a point along it
    sigma = [SSIM_SIGMA if size >= SSIM_SIZE else 0.01 for size in target.shape]
    value = structural_similarity_index_measure(
        prediction[None, None].float(), target[None, None].float(), sigma=sigma, data_range=peak
    )
    assert not isinstance(value, tuple)
    return value.item()


METRICS = ("mse", "mae", "r2", "pearson", "ssim", "psnr")

SCORE_TITLES = {
    "r2": "R² (higher is better)",
    "mse": "MSE (lower is better)",
    "mae": "MAE (lower is better)",
    "pearson": "Pearson r (higher is better)",
    "ssim": "SSIM (higher is better)",
    "psnr": "PSNR in dB (higher is better)",
}


def label(metric: str) -> str:
    """What a person calls a metric."""
    return SCORE_TITLES[metric].partition(" (")[0]
