"""Noise: how good a prediction can be at most, as no method predicts the noise of its target.

A target is what the structure looks like plus noise of photons and camera, which differs from plane to plane at random.
A method that predicts the structure without any error has

    R2 = 1 - (variance of the noise) / (variance of the target),    Pearson r = sqrt(R2),

and no method has more. The variance of the noise is estimated from the target alone. Differences of sixth order along Z
are a weighted sum of seven planes, in which only details remain that change from each plane to the next. A microscope
blurs along Z, so almost none of these are of the structure. Noise of independent planes remains, with a known factor.
Where the planes of a target were interpolated from those of the raw image, the factor is another one.

docs/scores.md compares this with other estimates.
"""

import numpy as np

from ssp_model.config.schema import ScoringConfig
from ssp_model.evaluation.panel import Measured, Pair

ORDER = 6
"""Order of the differences along Z."""

FEWEST_PLANES = 5
"""Planes below which nothing is known: differences of lower order still show the structure."""

LEAST = 0.05
"""Highest possible score below which no share of it is given: it would be a ratio of two numbers near 0."""


def measure_noise(pair: Pair, _: ScoringConfig) -> Measured:
    """Say how high R2 and Pearson r can be for a target, and which share of it the prediction reaches."""
    target, prediction = (image.astype(np.float64) for image in (pair.target, pair.prediction))
    r2_ceiling = highest_r2(pair.target, pair.scale_z)
    pearson_ceiling = r2_ceiling**0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1 - np.square(target - prediction).mean() / target.var()
        target, prediction = target - target.mean(), prediction - prediction.mean()
        pearson = (target * prediction).mean() / (target.std() * prediction.std())
    return Measured(
        {
            "r2_ceiling": r2_ceiling,
            "r2_share": share(r2, r2_ceiling),
            "pearson_ceiling": pearson_ceiling,
            "pearson_share": share(pearson, pearson_ceiling),
        }
    )


def share(reached: float, ceiling: float) -> float:
    """Return which share of the highest possible score is reached; NaN if this is not known or about 0."""
    return float(reached / ceiling) if ceiling >= LEAST else np.nan


def highest_r2(target: np.ndarray, scale_z: float = 1.0) -> float:
    """Return the R2 of a prediction that differs from the target by its noise only.

    Parameters
    ----------
    target : ndarray
        Fluorescence in any unit, (Z, Y, X).
    scale_z : float
        Factor by which its planes became more or fewer than the raw image has.

    Returns
    -------
    float
        From 0, for a target that is all noise, to 1; NaN for a constant target, few planes or an unknown factor.
    """
    variance = float(target.var(dtype=np.float64))
    planes = min(len(target), raw_planes(target, scale_z)) if scale_z > 0 else 0
    if planes < FEWEST_PLANES or variance == 0:
        return np.nan
    return float(np.clip(1 - noise_variance(target, scale_z) / variance, 0, 1))


def likeness_in_planes(target: np.ndarray) -> float:
    """Return the correlation of neighbouring voxels along Y and X: about 0 if all is noise, NaN for a constant target.

    It tells noise from planes that are so far apart that the structure differs in them. It is not 0 for noise if Y and
    X were interpolated to more voxels.
    """
    centred = target - target.mean(dtype=np.float64).astype(np.float32)
    variance = float(np.square(centred).mean(dtype=np.float64))
    alike = [
        float((one * other).mean(dtype=np.float64))
        for one, other in ((centred[:, 1:], centred[:, :-1]), (centred[:, :, 1:], centred[:, :, :-1]))
        if one.size
    ]
    return float(np.mean(alike)) / variance if variance and alike else np.nan


def raw_planes(target: np.ndarray, scale_z: float) -> int:
    """Return the number of planes that a target had before it was resized along Z."""
    return round(len(target) / scale_z)


def noise_variance(target: np.ndarray, scale_z: float = 1.0) -> float:
    """Return the variance of the noise of a target, (Z, Y, X), whose raw planes have independent noise.

    A plane of the target is a weighted sum of raw planes, and so is a difference. So the noise of the one follows from
    that of the other by the sums of the squared weights.
    """
    weights = np.eye(len(target))
    if scale_z != 1:
        # an import that takes long
        from ssp_model.data.preprocess import resize_matrix

        weights = np.asarray(resize_matrix(raw_planes(target, scale_z), scale_z), np.float64)
    order = min(ORDER, len(target) - 1)
    of_planes, of_differences = (np.square(w).sum(axis=1).mean() for w in (weights, np.diff(weights, n=order, axis=0)))
    differences = np.diff(target, n=order, axis=0)
    return float(np.square(differences).mean(dtype=np.float64) * of_planes / of_differences)
