"""Read a CSV file as Excel, LibreOffice, R, pandas and people write it.

- Text: UTF-8 or UTF-16 with their marks (BOM), plain UTF-8, else Windows-1252 (Western European). Any line ends.
- Separator: comma, semicolon or tab, whichever the header has most of.
- Above the header: blank lines, lines that start with `#`, and Excel's `sep=;` are skipped.
- Rows without content and columns without a name and content (trailing commas) are skipped. So is a first column
  without a name: the row numbers that R and pandas write.
- Blanks around names and cells are cut off.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from ssp_model.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_SAVE_AS_CSV = "open it and save it as CSV"

_NOT_TEXT = {
    b"PK\x03\x04": ("a zip file, such as an Excel workbook (.xlsx)", _SAVE_AS_CSV),
    b"\xd0\xcf\x11\xe0": ("an old Office file, such as an Excel workbook (.xls)", _SAVE_AS_CSV),
    b"\x1f\x8b": ("a gzip file", "unpack it"),
    b"%PDF": ("a PDF", "write the table as CSV"),
}
"""First bytes of files that are often taken for a CSV file: what the file is, and what to do."""


def read_csv(path: str | Path) -> "pd.DataFrame":
    """Read a table from a CSV file.

    Returns
    -------
    DataFrame
        Text in all columns; an empty cell is an empty text. The index is the number of the row's line in the file.

    Raises
    ------
    InputError
        The file does not exist or is not a table, two columns have one name, a column with content has no name, or a
        row has more cells than the header.
    """
    import pandas as pd

    lines = _text(path).split("\n")
    num_skipped = sum(1 for _ in takewhile(_is_above_the_header, lines))
    if num_skipped == len(lines):
        raise InputError(f"{path} is empty; write a header line and a row for each entry.")
    rows = _rows(lines, num_skipped, path)
    _, names = next(rows)
    body = {line: cells for line, cells in rows if any(cells)}
    if names[0] and _has_row_numbers(names, list(body.values())):
        names = ["", *names]
    names, columns = _named_columns(names, body, path)
    cells = [[cells[column] for column in columns] for cells in body.values()]
    return pd.DataFrame(cells, columns=names, index=pd.Index(body, name="line", dtype=int), dtype=str)


def _text(path: str | Path) -> str:
    """Return the file's text, its lines ended by newlines."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); check the path.") from None
    for start, (kind, advice) in _NOT_TEXT.items():
        if content.startswith(start):
            raise InputError(f"{path} is {kind}, not a CSV file; {advice}.")
    text = _decoded(content)
    if "\0" in text:
        raise InputError(f"{path} is a binary file, not a CSV file; check the path.")
    if re.match(r"\s*<(!doctype|html|head|\?xml)", text, re.IGNORECASE):
        raise InputError(
            f"{path} is a web page (HTML or XML), not a CSV file; if you downloaded it, the address may need a login."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # bytes that Windows-1252 does not define become the replacement character
        return content.decode("cp1252", errors="replace")


def _is_above_the_header(line: str) -> bool:
    # a spreadsheet quotes a comment with a comma, and pads a line with separators
    start = line.strip(' \t"')
    return not start.strip(",;") or start.startswith("#") or start.lower().startswith("sep=")


def _rows(lines: Sequence[str], first: int, path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row from line index `first` on, with the number of the row's first line."""
    header = re.sub('"[^"]*"', "", lines[first])
    separator = max(",;\t", key=header.count)
    # strict: a quote that is never closed would take all further rows into one cell
    reader = csv.reader(
        (f"{line}\n" for line in lines[first:]), delimiter=separator, skipinitialspace=separator != "\t", strict=True
    )
    while True:
        number = first + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path} line {number} can't be read as CSV ({error}); check its quotes.") from None
        yield number, [cell.strip() for cell in cells]


def _has_row_numbers(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows start with their number and the header has no name for it, as R's `write.table` writes."""
    one_more = bool(rows) and all(len(cells) == len(names) + 1 for cells in rows)
    return one_more and _are_row_numbers(cells[0] for cells in rows)


def _are_row_numbers(cells: Iterable[str]) -> bool:
    numbers = list(cells)
    return len(set(numbers)) == len(numbers) and all(re.fullmatch(r"\d+", number) for number in numbers)


def _named_columns(names: list[str], body: dict[int, list[str]], path: str | Path) -> tuple[list[str], list[int]]:
    """Return the names of the columns to keep, and their positions; make all rows as long as the header."""
    for line, cells in body.items():
        if any(cells[len(names) :]):
            raise InputError(
                f"{path} line {line} has {len(cells)} cells, but the header has {len(names)} columns; "
                "put quotes around a cell that holds the separator."
            )
        cells += [""] * (len(names) - len(cells))
    for column, name in enumerate(names):
        filled = next((line for line, cells in body.items() if cells[column]), None)
        if filled and not name and not (column == 0 and _are_row_numbers(cells[0] for cells in body.values())):
            raise InputError(f"{path} has no name for column {column + 1} (line {filled} has content); add its name.")
    kept = [column for column, name in enumerate(names) if name]
    names = [names[column] for column in kept]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled:
        raise InputError(f"{path} has two columns called {doubled}; rename or remove one.")
    return names, kept
