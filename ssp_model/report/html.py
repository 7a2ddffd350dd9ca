"""Pages of the report: each one HTML file that holds its figures and works without a network."""

import base64
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ssp_model.files import replacing

TYPES = {".png": "image/png", ".svg": "image/svg+xml"}

templates = Environment(
    loader=PackageLoader("ssp_model", "report/templates"), autoescape=True, undefined=StrictUndefined
)

Format = Callable[[object], str]


def write_page(path: str | Path, title: str, lead: str, parts: Sequence[Markup]) -> None:
    """Write a page.

    Parameters
    ----------
    path : path
        HTML file to write.
    title, lead : str
        The headline and what stands below it.
    parts : sequence of Markup
        What `heading`, `text`, `figure` and `table` make.
    """
    html = templates.get_template("page.html.j2").render(title=title, lead=lead, parts=parts)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def heading(text: str, level: int = 2) -> Markup:
    """A headline."""
    return Markup("<h{0}>{1}</h{0}>").format(level, text)


def text(sentence: str) -> Markup:
    """A paragraph."""
    return Markup("<p>{}</p>").format(sentence)


def note(sentence: str) -> Markup:
    """A paragraph that should not be missed."""
    return Markup('<p class="note">{}</p>').format(sentence)


def figure(image: str | Path, caption: str, alt: str) -> Markup:
    """An image file with its caption, held in the page; `alt` says in short what it shows."""
    image = Path(image)
    data = base64.b64encode(image.read_bytes()).decode()
    source = f"data:{TYPES[image.suffix]};base64,{data}"
    return Markup('<figure><div><img src="{}" alt="{}"></div><figcaption>{}</figcaption></figure>').format(
        source, alt, caption
    )


def table(
    frame: pd.DataFrame,
    formats: Mapping[str, Format] | None = None,
    total: int = 0,
    sortable: bool = False,
    sort_by: Mapping[str, Sequence[float]] | None = None,
    colours: Mapping[str, Callable[[pd.Series], str | None]] | None = None,
    strong: Mapping[str, Callable[[pd.Series], bool]] | None = None,
) -> Markup:
    """A table.

    Parameters
    ----------
    frame : DataFrame
        Columns of text go to the left, those of numbers to the right.
    formats : mapping, optional
        How to write the values of a column; numbers else have four decimals.
    total : int
        So many of the last rows are set apart, and stay last when sorting.
    sortable : bool
        Let the reader sort by a column, by clicking on its head.
    sort_by : mapping, optional
        The numbers that a column of text stands for.
    colours : mapping, optional
        The background of a column's cells, from their rows; None for none.
    strong : mapping, optional
        Whether a column's cells are set off as the best, from their rows.
    """
    formats, colours, strong, sort_by = formats or {}, colours or {}, strong or {}, sort_by or {}
    is_text = {column: not pd.api.types.is_numeric_dtype(frame[column]) for column in frame}
    heads = "".join(
        f'<th scope="col" class="{"text" if is_text[column] else ""}">'
        + (f"<button>{escape(str(column))}</button>" if sortable else escape(str(column)))
        + "</th>"
        for column in frame
    )
    rows = []
    for number, (_, row) in enumerate(frame.iterrows()):
        cells = []
        for column in frame:
            value = row[column]
            written = formats[column](value) if column in formats else write(value)
            colour = colours[column](row) if column in colours else None
            style = f' style="background:{colour}"' if colour else ""
            kind = "text" + " long" * (len(str(value)) > 40) if is_text[column] else ""
            shown = escape(written)
            if column in strong and strong[column](row):
                shown = f'<b class="best">{shown}</b>'
            key = sort_by[column][number] if column in sort_by else value
            cells.append(f'<td class="{kind}" data-value="{escape(str(key))}"{style}>{shown}</td>')
        last = number >= len(frame) - total
        rows.append(('<tr class="total">' if last else "<tr>") + "".join(cells) + "</tr>")
    return Markup(  # every value is escaped above
        f'<div class="scroll"><table class="{"sortable" if sortable else ""}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def write(value: object) -> str:
    """A table's value as a person reads it."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4f}"
    return str(value)


STANDARDISED = (
    "Intensities are standardised (each raw image has mean 0 and standard deviation 1): a prediction shows where a "
    "structure is and how bright it is relative to the rest of its image, not how many counts or molecules there are."
)


def size_text(size: Sequence[int]) -> str:
    """A size in voxels, as text."""
    return " x ".join(map(str, size))
