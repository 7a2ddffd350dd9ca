"""Differences between experiments that were scored on the same images: a paired bootstrap over images and seeds.

Two things are left to chance in a benchmark, and both are drawn anew in each bootstrap sample:

- The test images. They are drawn within each structure, and every experiment gets the same draw, because all were
  scored on the same images. What makes an image hard for all experiments then drops out of their difference. Images of
  a group (a plate, a day) are alike, so they are drawn together.
- The seeds. They are drawn for each experiment by itself, because seed 0 of one has nothing to do with seed 0 of
  another. A draw holds for all structures, because a seed is one training for all of them.

One fewer is drawn than there are, of images and of seeds. With as many, the spread of two or three would come out much
too small: the variance of a mean of k would be (k - 1) / k of what it should be.

With one seed only the images are drawn. The interval then says what other images would change, not what another
training would change. The mean of a structure with a single image has no interval, and so no mean over it.

This is apart from `statistics`, so that no image is scored again if this changes.
"""

from collections.abc import Mapping
from zlib import crc32

import numpy as np

from ssp_model.evaluation.statistics import FEWEST, RESAMPLES

AT_ONCE = 1_000_000
"""Numbers of images drawn at once, so that memory does not grow with the images."""

ROUNDING = 1e-9
"""Differences of scores up to this may come from the order of summation."""

Scores = Mapping[str, Mapping[str, np.ndarray]]
"""By experiment, then by structure: the scores of images, (seeds, images); the same images in the same order."""

Resampled = dict[str, dict[str, np.ndarray]]
"""By experiment, then by structure: the mean score of each bootstrap sample, (resamples,)."""


def resampled_means(scores: Scores, groups: Mapping[str, np.ndarray] | None = None) -> Resampled:
    """Draw images and seeds, and return the mean scores of each draw.

    `groups` has the number of each image's group, for each structure: images of a group are drawn together. Without it,
    each image is drawn by itself.

    A draw depends on the names of experiment and structure only, so one more experiment changes no other's interval.
    Means of two experiments, or of two structures of one, are paired: their entries are of the same draw.
    """
    seed_shares = {name: _shares(name, len(next(iter(of.values())))) for name, of in scores.items()}
    structures = sorted({structure for of in scores.values() for structure in of})
    resampled: Resampled = {name: {} for name in scores}
    for structure in structures:
        names = [name for name in scores if structure in scores[name]]
        counts = [len(scores[name][structure]) for name in names]
        of_structure = np.concatenate([scores[name][structure] for name in names])
        of_group = np.arange(of_structure.shape[1]) if groups is None else groups[structure]
        of_images = _means_over_drawn_images(structure, of_structure, of_group)
        for name, of_seeds in zip(names, np.split(of_images, np.cumsum(counts)[:-1], axis=1), strict=True):
            resampled[name][structure] = (of_seeds * seed_shares[name]).sum(axis=1)
    return resampled


def pooled(of_structures: Mapping[str, np.ndarray], images: Mapping[str, int]) -> np.ndarray:
    """Return the means over all images of structures, from the means of each and its number of images."""
    return np.average(list(of_structures.values()), axis=0, weights=[images[name] for name in of_structures])


def interval_of(resampled: np.ndarray, images: int) -> tuple[float, float]:
    """Return the 95% interval of a mean or a difference over so many images; NaN if it is not known."""
    if images < FEWEST:
        return np.nan, np.nan
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)


def holds(low: float, high: float) -> bool:
    """Whether a difference holds: its 95% interval excludes zero, by more than rounding."""
    return low > ROUNDING or high < -ROUNDING


def marks(
    means: Mapping[str, float], resampled: Mapping[str, np.ndarray], images: int, *, higher_is_better: bool
) -> dict[str, str]:
    """Say which experiment is `best` and which is `second`, where that holds.

    The best is marked if its difference from the next holds. The second is marked if the best is, and if its own
    difference from the third holds too.

    Parameters
    ----------
    means : mapping
        Mean score of each experiment.
    resampled : mapping
        For each experiment, its mean in each bootstrap sample.
    images : int
        Number of images that the means are over.
    higher_is_better : bool

    Returns
    -------
    dict
        `best` and `second`, by experiment; empty if no difference holds.
    """
    order = sorted(means, key=lambda name: means[name], reverse=higher_is_better)
    marked: dict[str, str] = {}
    for mark, one, other in zip(("best", "second"), order, order[1:], strict=False):
        if not holds(*interval_of(resampled[one] - resampled[other], images)):
            break
        marked[one] = mark
    return marked


def _means_over_drawn_images(structure: str, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the means over drawn images, (resamples, rows), from scores (rows, images)."""
    numbers, of_images = np.unique(groups, return_inverse=True)
    num_images = scores.shape[1]
    if len(numbers) == 1:
        return np.full((RESAMPLES, len(scores)), np.nan)
    rng = _generator(f"images of {structure}")
    some = max(AT_ONCE // num_images, 1)
    sizes = [min(some, RESAMPLES - start) for start in range(0, RESAMPLES, some)]
    if len(numbers) == num_images:
        return np.concatenate([_draw(rng, num_images, size) @ scores.T for size in sizes])
    shares = (_draw(rng, len(numbers), size)[:, of_images] for size in sizes)
    return np.concatenate([share @ scores.T / share.sum(axis=1, keepdims=True) for share in shares])


def _shares(experiment: str, num_seeds: int) -> np.ndarray:
    """Return how much each seed counts in each sample, (resamples, seeds)."""
    return (
        np.ones((RESAMPLES, 1)) if num_seeds == 1 else _draw(_generator(f"seeds of {experiment}"), num_seeds, RESAMPLES)
    )


def _draw(rng: np.random.Generator, number: int, samples: int) -> np.ndarray:
    """Draw one fewer than there are, with replacement; return the share of each, (samples, number)."""
    return rng.multinomial(number - 1, np.full(number, 1 / number), size=samples) / (number - 1)


def _generator(what: str) -> np.random.Generator:
    return np.random.default_rng(crc32(what.encode()))
