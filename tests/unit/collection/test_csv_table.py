"""CSV files as programs and people write them: all read as the same table, or refused for what they are."""

import csv
import io
import zipfile
from contextlib import suppress

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssp_model.collection.csv_table import read_csv
from ssp_model.errors import InputError

PLAIN = "image,structure,signal,target\na.czi,tom20,0,1\nb/ä.czi,zo1,0,2\n"


def table(path) -> dict[str, list[str]]:
    return read_csv(path).to_dict("list")


@pytest.fixture
def wanted(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_bytes(PLAIN.encode())
    return table(path)


def test_a_plain_file_is_read_as_text_with_the_numbers_of_its_lines(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("image,note\na.czi,007\n\nb.czi,\n")
    read = read_csv(path)
    assert read.to_dict("list") == {"image": ["a.czi", "b.czi"], "note": ["007", ""]}
    assert read.index.tolist() == [2, 4]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("latin-1"),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.rstrip("\n").encode(),
        PLAIN.replace(",", " , ").encode(),
        PLAIN.replace(",", "\u00a0,\u00a0").encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        PLAIN.replace("1\n", "1,\n").replace("2\n", "2,\n").encode(),
        f"{PLAIN}\n,,,\n , ,,\n".encode(),
        f"# taken in May, 63x\n\n{PLAIN}".encode(),
        f'"# taken in May, 63x",,,\n,,,\n{PLAIN}'.encode(),
        f"sep=;\n{PLAIN.replace(',', ';')}".encode(),
    ],
    ids=[
        "UTF-8 with BOM",
        "UTF-16",
        "UTF-16 big-endian",
        "Latin-1",
        "semicolon",
        "tab",
        "CRLF",
        "CR",
        "no last line end",
        "blanks around cells",
        "no-break spaces around cells",
        "trailing commas",
        "trailing commas in rows only",
        "blank rows",
        "comment lines",
        "comment lines by a spreadsheet",
        "Excel's line of the separator",
    ],
)
def test_a_file_is_read_however_it_is_written(tmp_path, wanted, content):
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    assert table(path) == wanted


@pytest.mark.parametrize(
    "rows",
    [
        ",image,note\n0,a.czi,x\n1,b.czi,y\n",
        '"","image","note"\n"1","a.czi","x"\n"2","b.czi","y"\n',
        "image,note\n5,a.czi,x\n9,b.czi,y\n",
    ],
    ids=["pandas", "R write.csv", "R write.table"],
)
def test_row_numbers_are_no_column(tmp_path, rows):
    path = tmp_path / "odd.csv"
    path.write_text(rows)
    assert table(path) == {"image": ["a.czi", "b.czi"], "note": ["x", "y"]}


def test_what_pandas_writes_is_read_back(tmp_path, wanted):
    path = tmp_path / "odd.csv"
    pd.DataFrame(wanted).to_csv(path, sep=";", quoting=1, lineterminator="\r\n")
    assert table(path) == wanted


CELL = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" \n,;\"'"))


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELL, CELL, CELL), min_size=1),
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_any_cells_are_read_back_however_they_are_written(
    tmp_path_factory, rows, separator, encoding, line_end, quoting
):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator=line_end, quoting=quoting)
        writer.writerows([("image", "note", "a-b"), *rows])
    cells = [[cell.strip() for cell in row] for row in rows]
    assert read_csv(path).to_numpy().tolist() == [row for row in cells if any(row)]


@settings(deadline=None)
@given(st.binary() | st.text(st.sampled_from('a1,;\t"\n\r# \0<')).map(str.encode))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    with suppress(InputError):
        read_csv(path)


def test_quoted_cells_may_hold_separators_quotes_and_line_ends(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text('image,note\n"a,b.czi","two\nlines"\nc.czi,"a ""big"" cell"\n')
    read = read_csv(path)
    assert read.to_dict("list") == {"image": ["a,b.czi", "c.czi"], "note": ["two\nlines", 'a "big" cell']}
    assert read.index.tolist() == [2, 4]


def test_a_short_row_is_filled_with_empty_cells(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text("image,scene,group\na.czi\n")
    assert table(path) == {"image": ["a.czi"], "scene": [""], "group": [""]}


def workbook() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; write a header line"),
        (b"\xef\xbb\xbf \r\n# nothing\r\n", "is empty; write a header line"),
        (workbook(), r"is a zip file, such as an Excel workbook \(.xlsx\), not a CSV file; open it and save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old Office file"),
        (b"\x1f\x8b\x08", "is a gzip file, not a CSV file; unpack it"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page .* the address may need a login"),
        (b"II*\0\x08\0\0\0", "is a binary file, not a CSV file"),
        (b"a,b,a\n1,2,3\n", "has two columns called a; rename or remove one"),
        (b"a,,b\n1,,3\n1,x,3\n", r"has no name for column 2 \(line 3 has content\)"),
        (b",b\nx,1\n", r"has no name for column 1 \(line 2 has content\)"),
        (b"a,b\n1,2\nx,y,z\n", "line 3 has 3 cells, but the header has 2 columns; put quotes"),
        (b'a,b\n1,2\n"x,y\n1,2\n', "line 3 can't be read as CSV .*; check its quotes"),
    ],
)
def test_what_is_no_table_is_refused_for_what_it_is(tmp_path, content, sentence):
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"odd.csv {sentence}"):
        read_csv(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="can't be read .*; check the path"):
        read_csv(tmp_path)
    with pytest.raises(InputError, match="none.csv can't be read .No such file"):
        read_csv(tmp_path / "none.csv")
