"""Tables of scores: which images stand for a structure, means and their intervals."""

import numpy as np
import pandas as pd
import pytest

from ssp_model.errors import InputError
from ssp_model.evaluation import scores
from ssp_model.evaluation.metrics import METRICS
from ssp_model.evaluation.scores import places, summarise, with_interval


def test_pictured_images_are_best_median_and_worst():
    assert places(pd.Series([0.4, 0.1, 0.3, 0.2, 0.5])) == ["", "worst", "median", "", "best"]
    assert places(pd.Series([0.4, 0.1, 0.3, 0.2]))[3] == "median"
    assert places(pd.Series([0.4, 0.1])) == ["best", "median"]
    assert places(pd.Series([0.4], index=[7])) == ["median"]


def scores_table(path, structure, values):
    table = pd.DataFrame(dict.fromkeys(METRICS, values))
    for place, (name, value) in enumerate({"experiment": "007", "seed": 3, "structure": structure}.items()):
        table.insert(place, name, value)
    table["image"], table["place"], table["file"] = "a.czi", "", ""
    table.to_csv(path, index=False)


def test_means_and_their_intervals(tmp_path):
    rng = np.random.default_rng(0)
    many, few = rng.normal(0.5, 0.1, 100), np.array([0.1, 0.2])
    scores_table(tmp_path / "many.csv", "many", many)
    scores_table(tmp_path / "few.csv", "few", few)
    outputs = [tmp_path / f"{name}.csv" for name in ("images", "structures", "overall")]
    summarise([tmp_path / "many.csv", tmp_path / "few.csv"], *outputs)
    structures = pd.read_csv(outputs[1]).set_index("structure")
    assert structures.r2["many"] == pytest.approx(many.mean())
    # the bootstrap interval of a mean is about two standard errors to each side
    half = 1.96 * many.std() / 10
    assert structures.r2_low["many"] == pytest.approx(many.mean() - half, abs=0.1 * half)
    assert structures.r2_high["many"] == pytest.approx(many.mean() + half, abs=0.1 * half)
    # two images say nothing of how much others would differ
    assert np.isnan(structures.r2_low["few"])
    overall = pd.read_csv(outputs[2]).set_index("mean_over")
    assert overall.r2["images"] == pytest.approx(np.concatenate([many, few]).mean())
    assert overall.r2["structures"] == pytest.approx((many.mean() + 0.15) / 2)
    assert overall.r2_low["images"] < overall.r2["images"] < overall.r2_high["images"]
    wide = overall.r2_high - overall.r2_low
    assert wide["structures"] > wide["images"]


def test_intervals_of_many_images_take_no_more_memory(tmp_path, monkeypatch):
    """Drawn in parts, the samples are those drawn at once."""
    scores_table(tmp_path / "many.csv", "many", np.random.default_rng(0).normal(0.5, 0.1, 60))
    tables = []
    for at_once in (60, 7):
        monkeypatch.setattr(scores, "IMAGES_AT_ONCE", at_once)
        outputs = [tmp_path / f"{name}-{at_once}.csv" for name in ("images", "structures", "overall")]
        summarise([tmp_path / "many.csv"], *outputs)
        tables.append(outputs[1].read_text())
    assert tables[0] == tables[1]


def test_undefined_correlations_stay_undefined(tmp_path):
    scores_table(tmp_path / "dna.csv", "dna", np.array([0.1, np.nan]))
    outputs = [tmp_path / f"{name}.csv" for name in ("images", "structures", "overall")]
    summarise([tmp_path / "dna.csv"], *outputs)
    assert pd.read_csv(outputs[1]).pearson.isna().all()


def test_the_mean_of_a_panel_is_over_the_images_that_have_it(tmp_path):
    for structure, known in {"dna": [1.0, np.nan, 3.0], "zo1": [6.0, np.nan, 6.0], "none": [np.nan] * 3}.items():
        path = tmp_path / f"{structure}.csv"
        scores_table(path, structure, np.array([0.1, 0.2, 0.3]))
        pd.read_csv(path, dtype={"experiment": str}).assign(resolution_xy_um=known).to_csv(path, index=False)
    outputs = [tmp_path / f"{name}-sum.csv" for name in ("images", "structures", "overall")]
    summarise([tmp_path / f"{structure}.csv" for structure in ("dna", "zo1", "none")], *outputs)
    structures = pd.read_csv(outputs[1]).set_index("structure")
    assert structures.resolution_xy_um.drop("none").to_dict() == {"dna": 2.0, "zo1": 6.0}
    assert np.isnan(structures.resolution_xy_um["none"])
    overall = pd.read_csv(outputs[2]).set_index("mean_over")
    assert overall.resolution_xy_um.to_dict() == pytest.approx({"images": 4.0, "structures": 4.0})
    # a draw of images that all lack it says nothing; the interval is over the others
    assert 1 <= overall.resolution_xy_um_low["images"] < overall.resolution_xy_um_high["images"] <= 6


def test_images_of_a_group_are_drawn_together(tmp_path):
    """Ten images of each of six plates that differ: the interval is that of six numbers, not of sixty."""
    plates = np.array([0.1, 0.2, 0.3, 0.5, 0.6, 0.7])
    path, outputs = tmp_path / "a.csv", [tmp_path / f"{name}.csv" for name in ("images", "structures", "overall")]
    widths = []
    for grouped in (False, True):
        scores_table(path, "a", np.repeat(plates, 10))
        table = pd.read_csv(path, dtype={"experiment": str})
        if grouped:
            table["group"] = np.repeat([f"plate {i}" for i in range(6)], 10)
        table.to_csv(path, index=False)
        summarise([path], *outputs)
        structures = pd.read_csv(outputs[1])
        assert ("groups" in structures) == grouped
        assert structures.r2[0] == pytest.approx(plates.mean())
        widths.append(structures.r2_high[0] - structures.r2_low[0])
    assert structures.groups[0] == 6
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(10), rel=0.15)
    # four plates say little of others
    table[table.group < "plate 4"].to_csv(path, index=False)
    summarise([path], *outputs)
    assert np.isnan(pd.read_csv(outputs[1]).r2_low[0])


def test_tables_say_of_which_run_they_are(tmp_path):
    scores_table(tmp_path / "a.csv", "a", np.array([0.1, 0.2]))
    outputs = [tmp_path / f"{name}.csv" for name in ("images", "structures", "overall")]
    summarise([tmp_path / "a.csv"], *outputs)
    for path in outputs:
        table = pd.read_csv(path, dtype=str)
        assert list(table)[:2] == ["experiment", "seed"]
        assert set(table.experiment) == {"007"}
        assert set(table.seed) == {"3"}
    scores_table(tmp_path / "b.csv", "b", np.array([0.1, 0.2]))
    (tmp_path / "b.csv").write_text((tmp_path / "b.csv").read_text().replace("007,3", "007,4"))
    with pytest.raises(InputError, match="are of several runs .007 seed 3, 007 seed 4."):
        summarise([tmp_path / "a.csv", tmp_path / "b.csv"], *outputs)


def test_means_are_written_with_the_digits_of_the_metric():
    row = pd.Series({"r2": 0.12345, "r2_low": 0.1, "r2_high": 0.2, "psnr": 12.345, "psnr_low": np.nan, "mae": np.nan})
    assert with_interval(row, "r2") == "0.123 (0.100 to 0.200)"
    assert with_interval(row, "psnr") == "12.35"
    assert with_interval(row, "mae") == "undefined"
