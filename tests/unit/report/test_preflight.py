"""The page of the preflight."""

import re

import pandas as pd
import pytest

from ssp_model.report.preflight import preflight_page


@pytest.fixture
def write_html(tmp_path):
    """Writes the page, and returns its text on one line."""

    def write(problems, counts="structure,train,val,test\ntom20,7,1,2\n"):
        columns = ["severity", "image", "structure", "problem"]
        pd.DataFrame(problems, columns=columns).to_csv(tmp_path / "problems.csv", index=False)
        (tmp_path / "counts.csv").write_text(counts)
        (tmp_path / "space.csv").write_text(
            "what,needed_bytes,free_bytes\nvolumes,1073741824,\ndisk,1610612736,3221225472\n"
        )
        tables = [tmp_path / f"{name}.csv" for name in ("problems", "counts", "space")]
        preflight_page(*tables, tmp_path / "problems.html")
        return " ".join((tmp_path / "problems.html").read_text().split())

    return write


def test_problems_are_shown_and_escaped(write_html):
    html = write_html(
        [
            ("error", "/data/a<1>.czi", "tom20", "/data/a<1>.czi has no channel 3."),
            ("error", "/data/b.czi", "tom20", "/data/b.czi has no channel 3."),
            ("warning", "", "", "Voxel sizes differ."),
        ]
    )
    assert "2 errors. The job would fail" in html
    assert "2 errors and 1 warning." in html
    assert ">a&lt;1&gt;.czi has no channel 3.</td>" in html
    assert "The images are in /data." in html
    assert ">nan<" not in html


def test_samples_and_needs_are_shown(write_html):
    html = write_html([])
    assert "None: every sample can be used." in html
    assert re.search(r">tom20</td><td[^>]*>7</td><td[^>]*>1</td><td[^>]*>2</td><td[^>]*>10</td>", html)
    assert re.search(r">volumes</td><td[^>]*>1.07 GB</td><td[^>]*></td>", html)
    assert re.search(r">disk</td><td[^>]*>1.61 GB</td><td[^>]*>3.22 GB</td>", html)


def test_samples_that_can_not_be_split(write_html):
    assert "The samples can't be split" in write_html([("error", "", "", "No draw.")], counts="structure\n")


def test_the_page_asks_for_nothing(write_html, tmp_path, open_page):
    write_html([("error", "a.czi", "tom20", "a.czi has no channel 3.")])
    assert open_page(tmp_path / "problems.html").title() == "Preflight"
