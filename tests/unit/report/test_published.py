"""A run beside the paper."""

import pandas as pd
import pytest

from ssp_model.report.published import (
    PUBLISHED_ARCHIVES,
    PUBLISHED_INCREMENTS,
    PUBLISHED_NAMES,
    PUBLISHED_TABLE,
    compare_with_paper,
    improvement,
    name_in_paper,
    paper_order,
    read_published,
    tint,
)


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
            assert all(cell.mark == ("best" if cell.value == winner else "") for cell in scores.values())
    for other in (
        compare_with_paper(means, totals, "elsewhere"),
        compare_with_paper(means[:3], totals, PUBLISHED_ARCHIVES),
    ):
        assert not other.is_same_data
        cells = [cell for shown in other.tables.values() for row in (*shown.rows, *shown.totals) for cell in row]
        assert not any(cell.mark or cell.tint for cell in cells)
    assert compare_with_paper(means.assign(structure="golgi"), totals, PUBLISHED_ARCHIVES) is None


def test_blue_is_better_and_orange_is_worse():
    assert tint(0.2) == tint(0.4) == "rgb(102 170 209)"
    assert tint(-0.2) == "rgb(240 174 102)"
    assert tint(0.0) == "rgb(255 255 255)"


def test_improvements_are_those_of_the_paper():
    table = read_published(PUBLISHED_TABLE).set_index(["method", "structure"])
    for metric, wanted in {"mse": 7.21, "mae": 4.48, "r2": 9.18}.items():
        scores = table[metric.upper()].xs("all", level="structure")
        gains = improvement(scores, scores["Multi-Net"], metric)
        assert gains["RepMode"] == pytest.approx(wanted, abs=0.01)
        assert gains["Multi-Net"] == 0


def test_methods_have_the_names_and_the_order_of_the_paper():
    titles = ["Multi-Net", "Multi-Head (Dec.)", "Multi-Head (Las.)", "CondNet", "TSNs", "PIPO-FAN", "DoDNet"]
    titles += ["TGNet-style", "RepMode"]
    assert [name_in_paper(title) for title in titles] == list(read_published(PUBLISHED_TABLE).method.unique())
    assert sorted(["mine", *sorted(titles)], key=paper_order) == [*titles, "mine"]


def test_published_tables_agree():
    table = read_published(PUBLISHED_TABLE).set_index(["method", "structure"])
    increments = read_published(PUBLISHED_INCREMENTS).set_index(["way", "structure"])
    for way, method in (("alone", "Multi-Net"), ("joint", "RepMode")):
        for structure in ("nucleolus", "cell_membrane"):
            scores = increments.loc[(way, structure), ["MSE", "MAE", "R2"]]
            assert scores.tolist() == table.loc[method, structure].tolist()
