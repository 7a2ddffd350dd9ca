"""Scores of a prediction over a whole image (RepMode, section 4.1)."""

import numpy as np
import torch
from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score

METRICS = ("mse", "mae", "r2")


def score(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """MSE, MAE and R2 over all voxels, in float64.

    Parameters
    ----------
    prediction, target : ndarray
        Standardised fluorescence, (Z, Y, X).
    """
    p, t = (torch.from_numpy(np.ascontiguousarray(image, dtype=np.float64)).flatten() for image in (prediction, target))
    return {
        "mse": mean_squared_error(p, t).item(),
        "mae": mean_absolute_error(p, t).item(),
        "r2": r2_score(p, t).item(),
    }
