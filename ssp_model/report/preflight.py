"""The page of the preflight: what is wrong with the samples, how they are split, and what the job needs."""

from pathlib import Path

import pandas as pd

from ssp_model.images.inspect import size_text
from ssp_model.images.inspect_table import common_folder
from ssp_model.report.html import Table, write_page

TINTS = {"error": "#fbe3e1", "warning": "#fff8e8"}


def preflight_page(problems: str | Path, counts: str | Path, space: str | Path, page: str | Path) -> None:
    """Write the page of the preflight.

    Parameters
    ----------
    problems, counts, space : path
        The CSV files that the preflight wrote.
    page : path
        HTML file to write.
    """
    found = pd.read_csv(problems, keep_default_na=False)
    folder = common_folder([image for image in found.image if image])
    number = found.severity.value_counts()
    write_page(
        page,
        "preflight.html.j2",
        num_errors=int(number.get("error", 0)),
        num_warnings=int(number.get("warning", 0)),
        folder=folder,
        problems=_problems_table(found, folder),
        counts=_counts_table(pd.read_csv(counts)),
        space=_space_table(pd.read_csv(space)),
    )


def _problems_table(found: pd.DataFrame, folder: str) -> Table | None:
    if found.empty:
        return None
    # the sentences name the images
    shown = found[["severity", "structure", "problem"]]
    if folder:
        shown = shown.assign(problem=shown.problem.str.replace(f"{folder}/", "", regex=False))
    return Table(shown, tints={"severity": [TINTS[severity] for severity in found.severity]})


def _counts_table(counts: pd.DataFrame) -> Table | None:
    if counts.empty:
        return None
    heads = {"train": "training", "val": "validation"}
    splits = counts.columns[1:]
    return Table(counts.assign(all=counts[splits].sum(axis=1)).rename(columns=heads))


def _space_table(space: pd.DataFrame) -> Table:
    shown = pd.DataFrame({"for": space.what, "needed": space.needed_bytes, "free": space.free_bytes})
    texts = {
        head: ["" if pd.isna(value) else size_text(int(value)) for value in shown[head]] for head in ("needed", "free")
    }
    return Table(shown, texts=texts)
