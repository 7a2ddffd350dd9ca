"""Write a page: a template with text, filled with tables, figures and numbers.

Each page has a template in `templates/`, which holds its headings, sentences and captions. All values are escaped.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ssp_model.files import replacing
from ssp_model.log import duration, settings_text

SHARED_TEMPLATES = ("page.html.j2", "macros.html.j2")
"""Templates that all pages use."""

TYPES = {".png": "image/png", ".svg": "image/svg+xml"}

LONG = 40
"""Characters from which the text of a cell may wrap."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    value : object
        The value that sorts the rows.
    text : str
        The value as the reader sees it.
    detail : str
        A second line, in small type.
    kind : str
        CSS classes.
    tint : str or None
        Background colour.
    mark : str
        `best` or `second` of those that it is compared with; empty for no mark.
    """

    value: object
    text: str
    detail: str
    kind: str
    tint: str | None
    mark: str


@dataclass(frozen=True)
class Table:
    """A table for a page. Text is aligned left, numbers right.

    Attributes
    ----------
    frame : DataFrame
        The values; its columns are the heads.
    texts : mapping
        For a column, each value as the reader sees it. Without it, numbers have four decimals.
    details : mapping
        For a column, a second line of each cell.
    num_totals : int
        Number of last rows that are totals: they look different, and stay last when a reader sorts.
    tints : mapping
        For a column, the background colour of each cell.
    marks : mapping
        For a column, the mark of each cell: `best`, `second` or nothing.
    """

    frame: pd.DataFrame
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    details: Mapping[str, Sequence[str]] = field(default_factory=dict)
    num_totals: int = 0
    tints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def heads(self) -> dict[str, str]:
        """CSS class of each column, by its head."""
        return {str(column): "" if self._is_number(column) else "text" for column in self.frame}

    @property
    def rows(self) -> list[list[Cell]]:
        """The cells of the rows that are no totals."""
        return self._cells[: len(self.frame) - self.num_totals]

    @property
    def totals(self) -> list[list[Cell]]:
        """The cells of the totals."""
        return self._cells[len(self.frame) - self.num_totals :]

    @property
    def _cells(self) -> list[list[Cell]]:
        columns = [[self._cell(column, row) for row in range(len(self.frame))] for column in self.frame]
        return [list(cells) for cells in zip(*columns, strict=True)]

    def _cell(self, column: str, row: int) -> Cell:
        value = self.frame[column].iloc[row]
        text = self.texts[column][row] if column in self.texts else write(value)
        return Cell(
            value=value,
            text=text,
            detail=self.details[column][row] if column in self.details else "",
            kind="" if self._is_number(column) else "text" + " long" * (len(text) > LONG),
            tint=self.tints[column][row] if column in self.tints else None,
            mark=self.marks[column][row] if column in self.marks else "",
        )

    def _is_number(self, column: str) -> bool:
        return pd.api.types.is_numeric_dtype(self.frame[column])


def write(value: object) -> str:
    """Write a value of a table for a reader: numbers with four decimals, nothing for NaN."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4f}"
    return str(value)


def data_uri(image: str | Path) -> str:
    """Return a picture's file, PNG or SVG, as an address that holds the picture itself."""
    image = Path(image)
    return f"data:{TYPES[image.suffix]};base64,{base64.b64encode(image.read_bytes()).decode()}"


def size_text(size: Sequence[int]) -> str:
    """Write a size in voxels: `16 x 48 x 48`."""
    return " x ".join(map(str, size))


def breakable(name: str) -> Markup:
    """Let a long name, such as that of a structure, wrap after each underscore."""
    return Markup(escape(name).replace("_", Markup("_<wbr>")))


templates = Environment(
    loader=PackageLoader("ssp_model", "report/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= {
    "breakable": breakable,
    "data_uri": data_uri,
    "duration": duration,
    "settings": settings_text,
    "size": size_text,
}


def write_page(path: str | Path, template: str, **values: object) -> None:
    """Fill a template and write the page.

    Parameters
    ----------
    path : path
        HTML file to write.
    template : str
        File name of the template.
    **values
        What the template shows.
    """
    html = templates.get_template(template).render(values)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
