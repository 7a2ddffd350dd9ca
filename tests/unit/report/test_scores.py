"""The page of the scores."""

import re

import pytest

from ssp_model.report.published import PUBLISHED_ARCHIVES, PUBLISHED_NAMES
from ssp_model.report.scores import scores_page

PUBLISHED = PUBLISHED_ARCHIVES + "{structure}.tar.gz"


def test_scores_stand_beside_the_published_ones(tmp_path, write_scores):
    tables = write_scores(tmp_path, sorted(PUBLISHED_NAMES), 0.3, "tiny", 7)
    scores_page(*tables, PUBLISHED, tmp_path / "scores.html")
    html = (tmp_path / "scores.html").read_text()
    assert "Scores of tiny, seed 7" in html
    assert "Beside the published scores" in html
    assert "are not the images of the paper" not in html
    # RepMode's R2 of DNA and over all, and the run's MSE of DNA, which is better than all published ones
    assert "0.4831" in html
    assert "0.4735" in html
    assert '<b class="best">0.3000</b>' in html
    assert (tmp_path / "scores/scores.svg").exists()


def test_scores_of_other_images_are_not_marked(tmp_path, write_scores):
    tables = write_scores(tmp_path, sorted(PUBLISHED_NAMES), 0.3)
    scores_page(*tables, "mine/{structure}.tar.gz", tmp_path / "scores.html")
    html = (tmp_path / "scores.html").read_text()
    assert "they come from mine/{structure}.tar.gz" in re.sub(r"\s+", " ", html)
    assert "0.4831" in html
    assert 'class="best"' not in html
    assert "background:rgb" not in html
    assert "is bold" not in html

    tables = write_scores(tmp_path / "few", ["dna"], 0.3)
    scores_page(*tables, PUBLISHED, tmp_path / "few.html")
    assert "only some of the structures" in (tmp_path / "few.html").read_text()
    assert 'class="best"' not in (tmp_path / "few.html").read_text()


def test_other_structures_stand_alone(tmp_path, write_scores):
    scores_page(*write_scores(tmp_path, ["golgi"], 0.3), PUBLISHED, tmp_path / "scores.html")
    assert "Beside the published" not in (tmp_path / "scores.html").read_text()


@pytest.mark.parametrize("width", [400, 1400])
def test_tables_use_the_width(open_page, tmp_path, write_scores, width):
    tables = write_scores(tmp_path, sorted(PUBLISHED_NAMES), 0.3)
    scores_page(*tables, PUBLISHED, tmp_path / "scores.html")
    page = open_page(tmp_path / "scores.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate("[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length")
    # on a telephone a wide table scrolls in its own frame
    assert (cut == 0) == (width == 1400)
