"""Show on a terminal what a preflight found."""

from collections.abc import Iterator

import pandas as pd
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ssp_model.collection.check_image import ERROR, WARNING
from ssp_model.collection.preflight import Preflight, grouped
from ssp_model.images.inspect import size_text
from ssp_model.images.inspect_table import common_folder, plain_table
from ssp_model.log import counted

MOST_SHOWN = 100
"""Problems that are shown; the file has all."""

STYLES = {ERROR: "bold red", WARNING: "yellow"}


def describe_preflight(found: Preflight) -> Iterator[RenderableType]:
    """Yield what to print: the problems, the samples in each split, what the job needs, and a last line."""
    if len(found.problems):
        problems = grouped(found.problems)
        yield _problems_table(problems.head(MOST_SHOWN))
        if len(problems) > MOST_SHOWN:
            yield Text(f"... and {len(problems) - MOST_SHOWN:,} more, in problems.csv", style="bold")
        yield ""
    if len(found.counts):
        yield _counts_table(found.counts)
        yield ""
    yield _space_table(found.space)
    yield ""
    yield _last_line(found)


def _problems_table(problems: pd.DataFrame) -> Table:
    folder = common_folder([image for image in problems.image if image])
    table = plain_table("Severity", "Structure", f"Problem (images are in {folder})" if folder else "Problem")
    for row in problems.itertuples():
        text = row.problem.replace(f"{folder}/", "") if folder else row.problem
        table.add_row(Text(row.severity, style=STYLES[row.severity]), row.structure or "-", Text(text))
    return table


def _counts_table(counts: pd.DataFrame) -> Table:
    splits = list(counts.columns[1:])
    table = plain_table("Samples", *splits, right=splits)
    for row in counts.itertuples(index=False):
        table.add_row(row[0], *(f"{number:,}" for number in row[1:]))
    return table


def _space_table(space: pd.DataFrame) -> Table:
    heads = ("Needed", "Free")
    table = plain_table("Estimate", *heads, right=heads)
    for row in space.itertuples(index=False):
        is_lacking = pd.notna(row.free_bytes) and row.needed_bytes > row.free_bytes
        needed = Text(size_text(row.needed_bytes), style="bold red" if is_lacking else "")
        table.add_row(row.what, needed, "" if pd.isna(row.free_bytes) else size_text(row.free_bytes))
    return table


def _last_line(found: Preflight) -> Text:
    num_warnings = len(found.problems) - found.num_errors
    text = f"{counted(found.num_errors, 'error')}, {counted(num_warnings, 'warning')}."
    if found.num_errors:
        return Text(f"{text} Correct the errors before you start.", style="bold red")
    return Text(f"{text} The samples can be used.", style="bold green")
