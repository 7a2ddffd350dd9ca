"""Scores of several experiments on the same test images, and what can be said of their differences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ssp_model.errors import InputError
from ssp_model.evaluation.differences import holds, interval_of, marks, pooled, resampled_means
from ssp_model.evaluation.metrics import METRIC
from ssp_model.evaluation.scores import Run


class Estimate(NamedTuple):
    """A value with its 95% interval. What is not known is NaN."""

    value: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the interval excludes zero."""
        return holds(self.low, self.high)


UNKNOWN = Estimate(np.nan, np.nan, np.nan)

SMALLEST_REFERENCE = 0.05
"""R2 and the like below which a gain in percent would say nothing."""


class PairedScores:
    """One metric of several experiments on the same images.

    A structure that is None stands for all: the mean over all images, as published. An experiment has it only if it was
    scored on all structures. What an experiment was not scored on is NaN.

    Parameters
    ----------
    table : DataFrame
        Scores of images, of all experiments and seeds, as `evaluation.scores.summarise` writes them.
    metric : str

    Attributes
    ----------
    structures : list of str
        All structures that any experiment was scored on, in alphabetical order.
    images : dict
        Number of images of each structure.
    seeds : dict
        Number of seeds of each experiment.

    Raises
    ------
    InputError
        The experiments were not scored on the same images.
    """

    def __init__(self, table: pd.DataFrame, metric: str) -> None:
        self.metric = metric
        self._scores: dict[str, dict[str, np.ndarray]] = {name: {} for name in table.experiment.unique()}
        self.images: dict[str, int] = {}
        groups: dict[str, np.ndarray] = {}
        for structure, of_structure in table.groupby("structure"):
            runs = _in_one_order(of_structure, metric)
            self.images[structure] = len(runs)
            groups[structure] = _groups(runs, of_structure)
            for name in runs.columns.unique("experiment"):
                self._scores[name][structure] = runs[name].to_numpy().T
        self.structures = list(self.images)
        self.seeds = {name: _number_of_seeds(name, of) for name, of in self._scores.items()}
        self._num_drawn = {structure: len(np.unique(of_images)) for structure, of_images in groups.items()}
        self._resampled = resampled_means(self._scores, groups)

    def has(self, experiment: str, structure: str | None = None) -> bool:
        """Whether an experiment was scored on a structure."""
        known = self._scores.get(experiment, {})
        return len(known) == len(self.structures) if structure is None else structure in known

    def num_images(self, structure: str | None = None) -> int:
        """Return the number of images of a structure."""
        return sum(self.images.values()) if structure is None else self.images[structure]

    def mean(self, experiment: str, structure: str | None = None) -> Estimate:
        """Return the mean score over images and seeds."""
        if not self.has(experiment, structure):
            return UNKNOWN
        value = self._of_seeds(experiment, structure).mean()
        return self._estimate(value, self._draws(experiment, structure), structure)

    def spread(self, experiment: str, structure: str | None = None) -> float:
        """Return the standard deviation of the mean score over seeds; NaN with a single seed."""
        if not self.has(experiment, structure) or self.seeds[experiment] == 1:
            return np.nan
        return float(self._of_seeds(experiment, structure).std(ddof=1))

    def difference(self, one: str, other: str, structure: str | None = None) -> Estimate:
        """Return the mean score of one experiment minus that of another."""
        if not (self.has(one, structure) and self.has(other, structure)):
            return UNKNOWN
        value = self._of_seeds(one, structure).mean() - self._of_seeds(other, structure).mean()
        return self._estimate(value, self._draws(one, structure) - self._draws(other, structure), structure)

    def gain(self, one: str, other: str, structure: str | None = None) -> Estimate:
        """Return by how many percent one experiment is better than another, of the other's score.

        NaN if the other's score may be about zero or less, as R2 may: a percentage of it says nothing.
        """
        if not (self.has(one, structure) and self.has(other, structure)):
            return UNKNOWN
        higher_is_better = METRIC[self.metric].higher_is_better
        better, smallest = (100, SMALLEST_REFERENCE) if higher_is_better else (-100, 0)
        reference, draws = self._of_seeds(other, structure).mean(), self._draws(other, structure)
        if reference <= smallest or (draws <= smallest).any():
            return UNKNOWN
        value = better * (self._of_seeds(one, structure).mean() / reference - 1)
        return self._estimate(value, better * (self._draws(one, structure) / draws - 1), structure)

    def marks(self, experiments: Sequence[str], structure: str | None = None) -> dict[str, str]:
        """Say which of some experiments is `best` and which `second`, where that holds."""
        scored = [name for name in experiments if self.has(name, structure)]
        return marks(
            {name: self.mean(name, structure).value for name in scored},
            {name: self._draws(name, structure) for name in scored},
            self._drawn(structure),
            higher_is_better=METRIC[self.metric].higher_is_better,
        )

    def _of_seeds(self, experiment: str, structure: str | None) -> np.ndarray:
        """Return the mean over images of each seed, (seeds,)."""
        known = self._scores[experiment]
        return (np.concatenate(list(known.values()), axis=1) if structure is None else known[structure]).mean(axis=1)

    def _draws(self, experiment: str, structure: str | None) -> np.ndarray:
        known = self._resampled[experiment]
        return pooled(known, self.images) if structure is None else known[structure]

    def _estimate(self, value: float, draws: np.ndarray, structure: str | None) -> Estimate:
        return Estimate(float(value), *interval_of(draws, self._drawn(structure)))

    def _drawn(self, structure: str | None) -> int:
        """Return the number of images, or of groups of images, that are drawn."""
        return sum(self._num_drawn.values()) if structure is None else self._num_drawn[structure]


def _groups(runs: pd.DataFrame, of_structure: pd.DataFrame) -> np.ndarray:
    """Return the number of the group of each row of `_in_one_order`; each is its own if there are no groups."""
    # a table of several runs may have groups in some
    known = of_structure[of_structure.group.fillna("") != ""] if "group" in of_structure else of_structure[:0]
    if known.empty:
        return np.arange(len(runs))
    by_image = known.drop_duplicates("image").set_index("image").group
    images = runs.index.get_level_values("image")
    return pd.factorize(by_image.reindex(images).fillna(pd.Series(images, index=images)))[0]


def _in_one_order(of_structure: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the scores of a structure's images: a row an image, a column a run.

    Raises
    ------
    InputError
        The runs were not scored on the same images.
    """
    run = list(Run._fields)
    # an image may give several samples
    number = of_structure.groupby([*run, "image"]).cumcount().rename("number")
    rows = of_structure.set_index([*run, "image", number])[metric].unstack(run)
    # draws are by place, and must not depend on the order of files
    rows = rows.sort_index(axis=0).sort_index(axis=1)
    different = rows.index[rows.isna().any(axis=1)]
    if len(different):
        of_image = of_structure[of_structure.image == different[0][0]]
        with_it = of_image[run].iloc[0]
        without = next(column for column in rows if pd.isna(rows[column][different[0]]))
        raise InputError(
            f"{without[0]}, seed {without[1]}, was not scored on the image {different[0][0]} of "
            f"{of_structure.structure.iloc[0]}, but {with_it.experiment}, seed {with_it.seed}, was; to compare them, "
            "score all on the same test images."
        )
    return rows


def _number_of_seeds(experiment: str, of_structures: dict[str, np.ndarray]) -> int:
    """Return the number of seeds of an experiment.

    Raises
    ------
    InputError
        It is not the same for all structures.
    """
    numbers = {len(scores) for scores in of_structures.values()}
    if len(numbers) > 1:
        raise InputError(
            f"{experiment} has not the same seeds for all its structures; score each seed on the same structures."
        )
    return numbers.pop()
