"""The page that says how far the predictions can be trusted: a section for each panel that was measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ssp_model.config.schema import ScoringConfig
from ssp_model.data.dataset import Dataset, shared_groups
from ssp_model.evaluation.metrics import METRIC, PANELS, UNCERTAINTY, Metric
from ssp_model.evaluation.objects import kind_of, why_not
from ssp_model.evaluation.scores import read_scores
from ssp_model.figures.style import save
from ssp_model.figures.trust import plot_ceilings, plot_reliability, plot_shell_correlation
from ssp_model.report.html import Table, write_page
from ssp_model.report.runs import read_runs, score_table

SHOWN: dict[str, Sequence[Metric]] = {
    "noise": (METRIC["r2"], *PANELS["noise"][:2], METRIC["pearson"], *PANELS["noise"][2:])
}
"""What the table of a panel shows, if not its own metrics alone."""


class Uncertainty(NamedTuple):
    """How the uncertainty was measured, a file for each structure, as `evaluation.uncertainty.Files` has them.

    Attributes
    ----------
    scores, levels : sequence of path
        In the same order.
    """

    scores: Sequence[str | Path]
    levels: Sequence[str | Path]


class Scores(NamedTuple):
    """What was scored.

    Attributes
    ----------
    per_image, per_structure : path
        Scores, as `evaluation.scores.summarise` writes them.
    curves : sequence of path
        Curves of each structure's images, as `evaluate_structure` writes them. The file has the structure's name.
    train_set : path, or None
        Dataset that the model was trained on, where it is known.
    uncertainty : Uncertainty, or None
        None if it was not measured.
    """

    per_image: str | Path
    per_structure: str | Path
    curves: Sequence[str | Path]
    train_set: str | Path | None
    uncertainty: Uncertainty | None = None


def trust_page(scores: Scores, scoring: ScoringConfig, page: str | Path) -> None:
    """Write the page.

    Parameters
    ----------
    scores : Scores
    scoring : ScoringConfig
        What was measured.
    page : path
        HTML file to write. Its figures go to a folder beside it, with the same name.
    """
    images = read_scores(scores.per_image)
    means = read_runs([scores.per_structure])
    tables = {name: panel_table(name, means) for name, panel in PANELS.items() if panel[0].name in means}
    of_structures = {Path(path).stem: pd.read_csv(path) for path in scores.curves}
    folder = Path(page).with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    if "noise" in tables and means.r2_ceiling.notna().any():
        figures["noise"] = folder / "noise.svg"
        save(plot_ceilings(images), figures["noise"])
    if any((table.curve == "fsc_xy").any() for table in of_structures.values()):
        figures["resolution"] = folder / "resolution.svg"
        save(plot_shell_correlation(of_structures), figures["resolution"])
    kind = None
    if scores.uncertainty:
        measured = pd.concat(map(pd.read_csv, scores.uncertainty.scores), ignore_index=True)
        kind, tables["uncertainty"] = measured.uncertainty[0], uncertainty_table(measured)
        figures["uncertainty"] = folder / "uncertainty.svg"
        levels = dict(zip(measured.structure, map(pd.read_csv, scores.uncertainty.levels), strict=True))
        save(plot_reliability(levels), figures["uncertainty"])
    write_page(
        page,
        "trust.html.j2",
        experiment=means.experiment[0],
        seed=means.seed[0],
        tables=tables,
        figures=figures,
        uncertainty=kind,
        groups=groups_table(images),
        shared_groups=groups_shared(images, scores.train_set),
        kinds=kinds_table(list(means.structure), scoring),
    )


def groups_table(images: pd.DataFrame) -> Table | None:
    """List the mean scores of each group of images, for each structure; None if there are no groups."""
    if "group" not in images:
        return None
    shown = {"mse": "MSE", "r2": "R²", "pearson": "Pearson r"}
    means = images.groupby(["structure", "group"]).agg(images=("r2", "size"), **{m: (m, "mean") for m in shown})
    return Table(means.reset_index().rename(columns=shown))


def groups_shared(images: pd.DataFrame, train_set: str | Path | None) -> list[str]:
    """Return the groups of test images that the model was trained on."""
    if "group" not in images or train_set is None:
        return []
    with Dataset(train_set) as dataset:
        known = dataset.index.get("group", pd.Series(dtype=str))
    return shared_groups(images.group, known)


def kinds_table(structures: Sequence[str], scoring: ScoringConfig) -> Table:
    """Say how each structure is segmented, and what is left out."""
    rows = [(name, kind_of(name, scoring) or "none", why_not(name, scoring)) for name in structures]
    return Table(pd.DataFrame(rows, columns=["structure", "segmented as", "left out"]))


def uncertainty_table(measured: pd.DataFrame) -> Table:
    """List how well the uncertainty of each structure agrees with the error."""
    return score_table(measured[["structure", "images"]], measured, metrics=UNCERTAINTY)


def panel_table(name: str, means: pd.DataFrame) -> Table:
    """List the means of a panel with their intervals, a row a structure."""
    left = pd.DataFrame({"structure": means.structure, "images": means.images.astype(int)})
    return score_table(left, means, metrics=SHOWN.get(name, PANELS[name]))
