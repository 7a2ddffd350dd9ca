"""What all pages share: templates, tables, and how fast a page's job starts."""

import ast
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ssp_model.log import settings_text
from ssp_model.report.html import Table, data_uri, templates, write
from tests.helpers import PROJECT

PAGE = """{% extends "page.html.j2" %}{% from "macros.html.j2" import facts, figure, note, table %}
{% block title %}{{ title }}{% endblock %}{% block lead %}{{ title }}{% endblock %}
{% block body %}{{ table(shown, sortable=true) }}{{ facts({title: title}) }}
{% call figure(image, title) %}{{ title }}{% endcall %}{% call note() %}{{ title }}{% endcall %}{% endblock %}"""


@pytest.fixture
def show(tmp_path):
    """Writes a page that has all there is."""
    (tmp_path / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')

    def write_all(shown, title="A page"):
        html = templates.from_string(PAGE).render(title=title, shown=shown, image=tmp_path / "dot.svg")
        (tmp_path / "page.html").write_text(html)
        return tmp_path / "page.html"

    return write_all


def test_tables_sort_by_a_click(open_page, show):
    frame = pd.DataFrame({"name": ["b", "a", "all"], "score": [10.5, 9.5, 10.0], "took": [3600, 42, 0]})
    page = open_page(show(Table(frame, {"took": ["1 h", "42 s", "-"]}, num_totals=1)), 400)

    def names():
        return page.locator(".sortable tbody td:first-child").all_text_contents()

    page.click("th:nth-child(2) button")
    assert names() == ["b", "a", "all"]
    page.click("th:nth-child(2) button")
    assert names() == ["a", "b", "all"]
    page.click("th:nth-child(3) button")
    assert names() == ["b", "a", "all"]
    page.click("th:nth-child(1) button")
    assert names() == ["b", "a", "all"]
    assert page.locator(".sortable tbody td:last-child").all_text_contents() == ["1 h", "42 s", "-"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_what_users_write_is_escaped(show):
    evil = "<script>alert('1')</script>\"><b>"
    frame = pd.DataFrame({evil: [evil, evil], "n": [1.0, 2.0]})
    shown = Table(frame, {"n": [evil, evil]}, {"n": [evil, evil]}, num_totals=1, tints={"n": [evil, evil]})
    html = show(shown, evil).read_text()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;") == 19  # one for each place where it stands
    assert '"><b>' not in html


def test_cells_of_a_table():
    frame = pd.DataFrame({"name": ["short", "long " * 10, "all"], "score": [0.5, np.nan, 0.25], "images": [1, 2, 3]})
    shown = Table(frame, num_totals=1, tints={"score": ["red", "blue", ""]}, marks={"score": ["best", "", "second"]})
    assert shown.heads == {"name": "text", "score": "", "images": ""}
    (first, second), (total,) = shown.rows, shown.totals
    assert [cell.text for cell in first] == ["short", "0.5000", "1"]
    assert [cell.kind for cell in second] == ["text long", "", ""]
    assert second[1].text == ""
    assert [cell.mark for cell in first] == ["", "best", ""]
    assert total[1].mark == "second"
    assert (first[1].tint, total[1].tint) == ("red", "")
    assert [cell.text for cell in total] == ["all", "0.2500", "3"]


def test_how_values_are_written(tmp_path):
    assert [write(value) for value in (1 / 3, np.nan, 3, "x")] == ["0.3333", "", "3", "x"]
    assert settings_text({"width": 8, "num_levels": 4}) == "width 8, num levels 4"
    assert settings_text({"experts": ["conv5", "pool3"]}) == "experts conv5 pool3"
    (tmp_path / "a.png").write_bytes(b"png")
    assert data_uri(tmp_path / "a.png") == "data:image/png;base64,cG5n"


def test_long_names_wrap_after_an_underscore(show):
    page = show(Table(pd.DataFrame({"a_<b>": [1]}))).read_text()
    assert "<button>a_<wbr>&lt;b&gt;</button>" in page


def test_the_first_column_of_a_wide_table_stays_in_view(open_page, tmp_path):
    frame = pd.DataFrame({"name": ["a"], **{f"score {i}": [0.5] for i in range(40)}})
    text = PAGE.replace("sortable=true", "wide=true").replace(
        "{% call figure(image, title) %}{{ title }}{% endcall %}", ""
    )
    (tmp_path / "page.html").write_text(templates.from_string(text).render(title="A page", shown=Table(frame)))
    page = open_page(tmp_path / "page.html", 600)
    page.evaluate("document.querySelector('.scroll').scrollLeft = 500")
    assert 0 <= page.locator("td").first.bounding_box()["x"] < 50
    assert page.locator("td").nth(3).bounding_box()["x"] < 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 600


def test_code_names_each_template_and_table():
    """A digest of the code finds the data files by their names in it."""
    report = PROJECT / "ssp_model/report"
    files = {path.name for path in [*report.glob("templates/*"), *report.glob("*.tsv")]}
    texts = {
        node.value
        for path in report.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }
    assert files
    assert files <= texts


@pytest.mark.parametrize(
    "page", ["benchmark", "compare", "composite", "data", "model_card", "overview", "scores", "structure", "trust"]
)
def test_a_page_starts_without_heavy_libraries(page):
    script = PROJECT / f"workflow/scripts/{page}_page.py"
    imports = [node for node in ast.parse(script.read_text()).body if isinstance(node, ast.ImportFrom)]
    code = ast.unparse(ast.Module([*imports, *ast.parse("import sys; print(*sys.modules)").body], []))
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    heavy = {"torch", "torchmetrics", "lightning", "lightning_fabric", "bioio", "monai", "scipy", "matplotlib.pyplot"}
    assert set(modules.stdout.split()) & heavy == set()
