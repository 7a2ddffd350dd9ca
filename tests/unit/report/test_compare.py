"""The page that compares experiments and seeds."""

import re

import pandas as pd
import pytest

from ssp_model.errors import InputError
from ssp_model.report.compare import compare_page, differences


@pytest.fixture
def compared(tmp_path, write_scores):
    """A page of seven runs, of which one's training is known; folders have other names than runs."""
    runs = {"a": (0.50, 0.52), "b": (0.70, 0.71), "c": (0.51, 0.53), "once": (0.9,)}
    paths = [
        write_scores(tmp_path / f"x{name}/seed-{9 - seed}", ["dna"], value, name, seed)[2]
        for name, values in runs.items()
        for seed, value in enumerate(values)
    ]
    history = pd.DataFrame(
        {"experiment": "a", "seed": 1, "epoch": [1, 2], "seconds": [3600, 125], "peak_memory_mb": [1024, 2048]}
    )
    history.to_csv(tmp_path / "history.csv", index=False)
    compare_page(paths, [tmp_path / "history.csv"], tmp_path / "compare.csv", tmp_path / "compare.html")
    return tmp_path


def test_experiments_are_told_apart_only_beyond_the_spread(compared):
    html = (compared / "compare.html").read_text()
    verdicts = dict(re.findall(r">(\w+ − \w+)</td>.*?>((?:beyond|within|not)[^<]*)</td>", html))
    assert verdicts["a − b"] == "beyond the spread"
    assert verdicts["a − c"] == "within the spread"
    assert verdicts["a − once"].startswith("not known")
    assert (compared / "compare/runs.svg").exists()


def test_a_run_scored_before_a_metric_was_added_lacks_it(write_scores, tmp_path):
    paths = [write_scores(tmp_path / name, ["dna"], 0.5, name, 0)[2] for name in ("old", "new")]
    pd.read_csv(paths[0]).drop(columns=["ssim", "ssim_low", "ssim_high"]).to_csv(paths[0], index=False)
    compare_page(paths, [], tmp_path / "compare.csv", tmp_path / "compare.html")
    runs = pd.read_csv(tmp_path / "compare.csv").set_index("experiment")
    assert runs.ssim.notna().to_dict() == {"new": True, "old": False}


def test_runs_and_histories_are_matched_by_their_columns(compared):
    runs = pd.read_csv(compared / "compare.csv")
    assert len(runs) == 7
    assert list(runs)[:3] == ["experiment", "seed", "images"]
    known = runs[runs.training_s.notna()]
    assert known[["experiment", "seed", "r2", "training_s", "training_mib"]].values.tolist() == [
        ["a", 1, 0.52, 3725, 2048]
    ]
    assert (compared / "compare.html").read_text().count("1 h 02 min") == 1


def test_without_histories_and_with_one_experiment(tmp_path, write_scores):
    path = write_scores(tmp_path, ["dna"], 0.5)[2]
    compare_page([path], [], tmp_path / "compare.csv", tmp_path / "compare.html")
    assert pd.read_csv(tmp_path / "compare.csv").training_s.isna().all()
    assert "only one experiment" in (tmp_path / "compare.html").read_text()
    assert differences(pd.read_csv(tmp_path / "compare.csv")) is None


def test_an_epoch_of_unknown_time_makes_the_time_unknown(tmp_path, write_scores):
    path = write_scores(tmp_path, ["dna"], 0.5)[2]
    history = pd.DataFrame({"experiment": "tiny", "seed": 0, "seconds": [1.0, None], "peak_memory_mb": [1, 2]})
    history.to_csv(tmp_path / "history.csv", index=False)
    compare_page([path], [tmp_path / "history.csv"], tmp_path / "compare.csv", tmp_path / "compare.html")
    runs = pd.read_csv(tmp_path / "compare.csv")
    assert runs.training_s.isna().all()
    assert runs.training_mib.tolist() == [2]


def drop_run(path):
    """Make a table one of version 0.1.0."""
    pd.read_csv(path).drop(columns=["experiment", "seed"]).to_csv(path, index=False)
    return path


def test_runs_of_an_older_version_are_left_out_and_named(tmp_path, write_scores, caplog):
    old, new = (write_scores(tmp_path / name, ["dna"], 0.5, name, 0)[2] for name in ("old", "new"))
    histories = [path.with_name("history.csv") for path in (old, new)]
    for name, path in zip(("old", "new"), histories, strict=True):
        history = {"experiment": [name], "seed": 0, "seconds": 60.0, "peak_memory_mb": 1}
        pd.DataFrame(history).to_csv(path, index=False)
    left_out = [str(drop_run(path)) for path in (old, histories[0])]

    compare_page([old, new], histories, tmp_path / "compare.csv", tmp_path / "compare.html")

    runs = pd.read_csv(tmp_path / "compare.csv")
    assert runs[["experiment", "training_s"]].values.tolist() == [["new", 60]]
    assert re.findall(r"<code>(\S+\.csv)</code>", (tmp_path / "compare.html").read_text()) == left_out
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [warning.split()[0] for warning in warnings] == left_out


def test_a_run_whose_history_alone_is_older_stays(tmp_path, write_scores):
    scores, history = write_scores(tmp_path, ["dna"], 0.5)[2], tmp_path / "history.csv"
    history.write_text("epoch,seconds,peak_memory_mb\n1,60,1\n")
    compare_page([scores], [history], tmp_path / "compare.csv", tmp_path / "compare.html")
    assert pd.read_csv(tmp_path / "compare.csv").training_s.isna().tolist() == [True]


def test_without_any_run_that_is_known_there_is_no_page(tmp_path, write_scores):
    path = drop_run(write_scores(tmp_path, ["dna"], 0.5)[2])
    with pytest.raises(InputError, match="has no columns experiment and seed"):
        compare_page([path], [], tmp_path / "compare.csv", tmp_path / "compare.html")


def test_nothing_is_said_of_runs_left_out_if_there_are_none(compared):
    assert "left out" not in (compared / "compare.html").read_text()
