"""The scores of a run beside the scores of the paper (RepMode, table 1)."""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd

from ssp_model.evaluation.metrics import METRIC
from ssp_model.report.html import Table

PUBLISHED_TABLE = "published_table1.tsv"
PUBLISHED_INCREMENTS = "published_increments.tsv"
PUBLISHED_METHOD = "RepMode"
PUBLISHED_METRICS = ("mse", "mae", "r2")
PUBLISHED_ARCHIVES = (
    "https://s3-us-west-2.amazonaws.com/downloads.allencell.org/publication-data/label-free-prediction/"
)
PUBLISHED_NAMES = {
    "alpha_tubulin": "microtubule",
    "beta_actin": "actin_filament",
    "desmoplakin": "desmosome",
    "dna": "dna",
    "fibrillarin": "nucleolus",
    "lamin_b1": "nuclear_envelope",
    "membrane_caax_63x": "cell_membrane",
    "myosin_iib": "actomyosin_bundle",
    "sec61_beta": "endoplasmic_reticulum",
    "st6gal1": "golgi_apparatus",
    "tom20": "mitochondria",
    "zo1": "tight_junction",
}
"""Structures of the Allen collection, and their names in the paper."""

FULL_TINT = 0.2
"""Difference between two scores from which the colour is strongest."""


@dataclass(frozen=True)
class Comparison:
    """A run beside the paper.

    Attributes
    ----------
    is_collection : bool
        The images come from the published collection.
    is_complete : bool
        The run has all the paper's structures.
    tables : dict
        For each metric, by its title, the scores of the run and of the published methods.
    """

    is_collection: bool
    is_complete: bool
    tables: dict[str, Table]

    @property
    def is_same_data(self) -> bool:
        """Whether the run was scored on the paper's images, so that the scores can be compared."""
        return self.is_collection and self.is_complete


def compare_with_paper(means: pd.DataFrame, totals: pd.DataFrame, images_from: str) -> Comparison | None:
    """Put the scores of a run beside the published ones.

    Parameters
    ----------
    means, totals : DataFrame
        Scores of each structure and overall, as `evaluation.scores.summarise` writes them.
    images_from : str
        Where the run's images come from.

    Returns
    -------
    Comparison, or None if the paper does not have all the structures.
    """
    if not set(means.structure) <= PUBLISHED_NAMES.keys():
        return None
    named = means.assign(structure=means.structure.map(PUBLISHED_NAMES))
    is_complete = len(means) == len(PUBLISHED_NAMES)
    if is_complete:
        named = pd.concat([named, totals[totals.mean_over == "images"].assign(structure="all")])
    ours = named.set_index("structure")
    published = read_published(PUBLISHED_TABLE)
    is_collection = images_from.startswith(PUBLISHED_ARCHIVES)
    mark = is_collection and is_complete
    tables = {
        METRIC[metric].title_with_direction: published_table(ours[metric], published, metric, mark=mark)
        for metric in PUBLISHED_METRICS
    }
    return Comparison(is_collection, is_complete, tables)


def published_table(ours: pd.Series, published: pd.DataFrame, metric: str, *, mark: bool) -> Table:
    """List one metric of the run and of the published methods.

    Parameters
    ----------
    ours : Series
        The run's scores; the index has the paper's names of the structures.
    published : DataFrame
        The paper's table.
    metric : str
    mark : bool
        Mark the best score of each row, and colour the difference: only where both have the same images.
    """
    rows = published.pivot(index="structure", columns="method", values=metric.upper())
    rows = rows[list(published.method.unique())].loc[ours.index]
    rows.insert(0, "this run", ours)
    difference = f"this run − {PUBLISHED_METHOD}"
    shown = rows.copy()
    shown.insert(1, difference, rows["this run"] - rows[PUBLISHED_METHOD])
    higher_is_better = METRIC[metric].higher_is_better
    better = 1 if higher_is_better else -1
    best = rows.max(axis=1) if higher_is_better else rows.min(axis=1)
    return Table(
        shown.reset_index(),
        {difference: [f"{by:+.4f}" for by in shown[difference]]},
        num_totals=int("all" in shown.index),
        tints={difference: [tint(better * by) for by in shown[difference]]} if mark else {},
        marks={column: ["best" * is_best for is_best in rows[column] == best] for column in rows} if mark else {},
    )


def read_published(table: str) -> pd.DataFrame:
    """Read a table of published scores; its metrics are the columns `MSE`, `MAE` and `R2`."""
    return pd.read_csv(files("ssp_model.report") / table, sep="\t")


def name_in_paper(title: str) -> str:
    """Return the name in the paper's table of a method: a reconstruction has the name of its method there."""
    return title.removesuffix("-style").replace(" (", "-").rstrip(".)")


def paper_order(title: str) -> tuple[int, int]:
    """Return what sorts methods as the paper's table; others come last."""
    names = list(read_published(PUBLISHED_TABLE).method.unique())
    name = name_in_paper(title)
    return (0, names.index(name)) if name in names else (1, 0)


def improvement(scores: pd.Series, baseline: float, metric: str) -> pd.Series:
    """Return by how many percent scores are better than another, as the paper's column of improvements."""
    return (100 if METRIC[metric].higher_is_better else -100) * (scores / baseline - 1)


def tint(better_by: float) -> str:
    """Return a colour: blue for better, orange for worse, stronger for a larger difference."""
    share = min(abs(better_by) / FULL_TINT, 1) * 0.6
    colour = np.array([0, 114, 178]) if better_by > 0 else np.array([230, 120, 0])
    return "rgb({:.0f} {:.0f} {:.0f})".format(*(255 - (255 - colour) * share))
