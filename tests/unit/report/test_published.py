"""A run beside the paper."""

import pandas as pd

from ssp_model.report.published import PUBLISHED_ARCHIVES, PUBLISHED_NAMES, compare_with_paper, tint


def test_marks_only_on_the_published_images(tmp_path, write_scores):
    _, means, totals = map(pd.read_csv, write_scores(tmp_path, sorted(PUBLISHED_NAMES), 0.5))
    same = compare_with_paper(means, totals, PUBLISHED_ARCHIVES)
    assert same.is_same_data
    mse, _, r2 = same.tables.values()
    for shown, best in ((mse, min), (r2, max)):
        for row in (*shown.rows, *shown.totals):
            scores = {name: cell for name, cell in zip(shown.heads, row, strict=True) if "structure" not in name}
            difference = scores.pop("this run − RepMode")
            assert difference.text[0] in "+-"
            assert difference.tint.startswith("rgb(")
            winner = best(cell.value for cell in scores.values())
            assert all(cell.is_best == (cell.value == winner) for cell in scores.values())
    for other in (
        compare_with_paper(means, totals, "elsewhere"),
        compare_with_paper(means[:3], totals, PUBLISHED_ARCHIVES),
    ):
        assert not other.is_same_data
        cells = [cell for shown in other.tables.values() for row in (*shown.rows, *shown.totals) for cell in row]
        assert not any(cell.is_best or cell.tint for cell in cells)
    assert compare_with_paper(means.assign(structure="golgi"), totals, PUBLISHED_ARCHIVES) is None


def test_blue_is_better_and_orange_is_worse():
    assert tint(0.2) == tint(0.4) == "rgb(102 170 209)"
    assert tint(-0.2) == "rgb(240 174 102)"
    assert tint(0.0) == "rgb(255 255 255)"
