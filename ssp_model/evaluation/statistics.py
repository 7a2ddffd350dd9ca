"""Statistics of scores: means with bootstrap intervals."""

import numpy as np

from ssp_model.evaluation.metrics import METRICS

FEWEST = 5
"""Images below which no interval is given: it would be far too narrow."""

RESAMPLES = 10_000
"""Bootstrap samples behind an interval."""

IMAGES_AT_ONCE = 100
"""Images of a structure beyond which its bootstrap samples are drawn in several parts."""


def interval(means: np.ndarray, resampled: np.ndarray, images: int) -> dict[str, float]:
    """Return each metric's mean, and the 2.5% and 97.5% percentiles of its bootstrap means (resamples, metrics)."""
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    if images < FEWEST:
        low, high = np.full((2, len(METRICS)), np.nan)
    columns: dict[str, float] = {}
    for i, metric in enumerate(METRICS):
        columns |= {metric: means[i], f"{metric}_low": low[i], f"{metric}_high": high[i]}
    return columns
