"""Tables of runs and of scores."""

import pandas as pd
import pytest

from ssp_model.errors import InputError
from ssp_model.report.runs import read_runs, score_table


def test_tables_of_runs_are_read_as_one(tmp_path, write_scores):
    paths = [write_scores(tmp_path / str(seed), ["dna"], 0.5, "007", seed)[2] for seed in (1, 0)]
    runs = read_runs(paths)
    assert runs.experiment.tolist() == ["007"] * 4
    assert runs.seed.tolist() == [1, 1, 0, 0]
    assert list(read_runs([])) == ["experiment", "seed"]


def test_a_table_of_an_unknown_run_is_refused(tmp_path):
    path = tmp_path / "tiny/seed-0/overall.csv"
    path.parent.mkdir(parents=True)
    path.write_text("mean_over,images\nimages,3\n")
    with pytest.raises(InputError, match=r"overall.csv has no columns experiment and seed"):
        read_runs([path])


def test_scores_have_their_intervals_below(tmp_path, write_scores):
    scores = pd.read_csv(write_scores(tmp_path, ["dna", "tom20"], 0.5)[1])
    shown = score_table(scores[["structure"]], scores)
    assert list(shown.frame)[:3] == ["structure", "MSE", "MAE"]
    assert shown.texts["R²"] == ["0.500", "0.500"]
    assert shown.details["R²"][0] == "(0.400 to 0.600)"
    assert shown.frame["R²"].tolist() == [0.5, 0.5]
    unknown = score_table(scores[["structure"]], scores.assign(r2_low=None, pearson=None))
    assert unknown.details["R²"] == ["", ""]
    assert unknown.texts["Pearson r"] == ["undefined", "undefined"]
