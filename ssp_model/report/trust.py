"""The page that says how far the predictions can be trusted: a section for each panel that was measured."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ssp_model.evaluation.metrics import PANELS
from ssp_model.figures.style import save
from ssp_model.figures.trust import plot_shell_correlation
from ssp_model.report.html import Table, write_page
from ssp_model.report.runs import read_runs, score_table


def trust_page(per_structure: str | Path, curves: Sequence[str | Path], page: str | Path) -> None:
    """Write the page.

    Parameters
    ----------
    per_structure : path
        Scores, as `evaluation.scores.summarise` writes them.
    curves : sequence of path
        Curves of each structure's images, as `evaluate_structure` writes them. The file has the structure's name.
    page : path
        HTML file to write. Its figures go to a folder beside it, with the same name.
    """
    means = read_runs([per_structure])
    tables = {name: panel_table(name, means) for name, panel in PANELS.items() if panel[0].name in means}
    of_structures = {Path(path).stem: pd.read_csv(path) for path in curves}
    folder = Path(page).with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    if any((table.curve == "fsc_xy").any() for table in of_structures.values()):
        figures["resolution"] = folder / "resolution.svg"
        save(plot_shell_correlation(of_structures), figures["resolution"])
    write_page(
        page,
        "trust.html.j2",
        experiment=means.experiment[0],
        seed=means.seed[0],
        tables=tables,
        figures=figures,
    )


def panel_table(name: str, means: pd.DataFrame) -> Table:
    """List the means of a panel with their intervals, a row a structure."""
    left = pd.DataFrame({"structure": means.structure, "images": means.images.astype(int)})
    return score_table(left, means, metrics=PANELS[name])
