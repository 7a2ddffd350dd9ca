"""Statistics of scores: means with bootstrap intervals."""

from collections.abc import Sequence

import numpy as np

from ssp_model.evaluation.metrics import METRICS

FEWEST = 5
"""Images below which no interval is given: it would be far too narrow."""

RESAMPLES = 10_000
"""Bootstrap samples behind an interval."""

IMAGES_AT_ONCE = 100
"""Images of a structure beyond which its bootstrap samples are drawn in several parts."""


def interval(metrics: Sequence[str], means: np.ndarray, resampled: np.ndarray, images: int) -> dict[str, float]:
    """Return each metric's mean, and the 2.5% and 97.5% percentiles of its bootstrap means (resamples, metrics)."""
    if images < FEWEST:
        low, high = np.full((2, len(metrics)), np.nan)
    else:
        low, high = np.transpose([percentiles(draws) for draws in resampled.T])
    columns: dict[str, float] = {}
    for i, metric in enumerate(metrics):
        columns |= {metric: means[i], f"{metric}_low": low[i], f"{metric}_high": high[i]}
    return columns


def percentiles(draws: np.ndarray) -> np.ndarray:
    """Return the 2.5% and 97.5% percentiles of what is defined; NaN if less than half is."""
    known = draws[~np.isnan(draws)]
    return np.percentile(known, [2.5, 97.5]) if 2 * len(known) > len(draws) else np.full(2, np.nan)


def mean_of(metrics: Sequence[str], values: np.ndarray, weights: Sequence[int] | None = None) -> np.ndarray:
    """Return the mean of each metric, from values (..., n, metrics).

    A metric of voxels that is undefined once has no mean. The mean of a panel's metric is over what is defined.
    """
    plain = np.average(values, axis=-2, weights=weights)
    is_known = ~np.isnan(values)
    if is_known.all():
        return plain
    weight = is_known * np.asarray(np.ones(values.shape[-2]) if weights is None else weights)[:, None]
    total = weight.sum(axis=-2)
    known = np.divide(
        (np.nan_to_num(values) * weight).sum(axis=-2), total, out=np.full(total.shape, np.nan), where=total > 0
    )
    return np.where([metric in METRICS for metric in metrics], plain, known)
