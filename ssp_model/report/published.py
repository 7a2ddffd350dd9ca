"""The paper's scores, and a run's beside them."""

from collections.abc import Callable
from importlib.resources import files

import numpy as np
import pandas as pd
from markupsafe import Markup

from ssp_model.evaluation.metrics import METRIC
from ssp_model.report.html import heading, note, table, text

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
"""Structures of the Allen collection, as the paper calls them."""


def beside_published(means: pd.DataFrame, totals: pd.DataFrame, images_from: str) -> list[Markup]:
    """The run's scores beside the paper's table 1; nothing unless all structures are the paper's."""
    if not set(means.structure) <= PUBLISHED_NAMES.keys():
        return []
    published = pd.read_csv(files("ssp_model") / "report/published_table1.tsv", sep="\t")
    named = means.assign(structure=means.structure.map(PUBLISHED_NAMES))
    all_there = len(means) == len(PUBLISHED_NAMES)
    if all_there:
        named = pd.concat([named, totals[totals.mean_over == "images"].assign(structure="all")])
    ours = named.set_index("structure")
    parts = [heading("Beside the published scores")]
    if images_from.startswith(PUBLISHED_ARCHIVES) and all_there:
        parts.append(text("The images are the published ones; see the overview for the settings of this run."))
    else:
        why = (
            "only some of the structures were used"
            if images_from.startswith(PUBLISHED_ARCHIVES)
            else (f"they come from {images_from}, not from the published collection")
        )
        parts.append(
            note(
                f"The images of this run are not those of the paper: {why}. The numbers stand side by side for "
                "orientation; a difference says nothing about which method is better."
            )
        )
    for metric in ("mse", "mae", "r2"):
        parts += [heading(METRIC[metric].title_with_direction, 3), published_table(ours[metric], published, metric)]
    parts.append(
        text(
            "Table 1 of the paper (arXiv 2212.10066). The best of a row is bold; blue means that this run is better "
            "than the published RepMode, orange that it is worse, the stronger the more."
        )
    )
    return parts


def published_table(ours: pd.Series, published: pd.DataFrame, metric: str) -> Markup:
    """A metric of this run, by structure as the paper names them, beside the published methods."""
    rows = published.pivot(index="structure", columns="method", values=metric.upper())
    rows = rows[list(published.method.unique())].loc[ours.index]
    rows.insert(0, "this run", ours)
    higher_is_better = METRIC[metric].higher_is_better
    best = rows.max(axis=1) if higher_is_better else rows.min(axis=1)
    better = 1 if higher_is_better else -1
    difference = "this run − RepMode"
    shown = rows.copy()
    shown.insert(1, difference, rows["this run"] - rows["RepMode"])

    def is_best(column: str) -> Callable[[pd.Series], bool]:
        return lambda row: bool(row[column] == best[row.structure])

    return table(
        shown.reset_index(),
        {difference: lambda value: f"{value:+.4f}"},
        total=int("all" in shown.index),
        colours={difference: lambda row: _tint(better * row[difference])},
        strong={column: is_best(column) for column in rows},
    )


def _tint(better_by: float) -> str:
    """Blue for better, orange for worse, the stronger the more, up to 0.2."""
    share = min(abs(better_by) / 0.2, 1) * 0.6
    colour = np.array([0, 114, 178]) if better_by > 0 else np.array([230, 120, 0])
    return "rgb({:.0f} {:.0f} {:.0f})".format(*(255 - (255 - colour) * share))
