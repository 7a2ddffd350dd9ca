"""The overview."""

import re

import pytest

from ssp_model.config.read import parse_config
from ssp_model.report.overview import STAGES, left_out_table, overview_page, times
from tests.helpers import PROJECT


def write_benchmark(path, seconds, mib):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tmax_rss\n{seconds}\t{mib}\n")


@pytest.fixture
def benchmarks(tmp_path):
    """Patterns, in the order of the pipeline, and files of two experiments."""
    write_benchmark(tmp_path / "convert_images/tom20.tsv", 60, 500)
    write_benchmark(tmp_path / "convert_images/zo1.tsv", 30, 700)
    write_benchmark(tmp_path / "train_model/tiny/seed-0.tsv", 3600, 100)
    write_benchmark(tmp_path / "train_model/other/seed-0.tsv", 9999, 9999)
    write_benchmark(tmp_path / "data_page.tsv", 1, "-")
    write_benchmark(tmp_path / "scores_page/tiny/seed-0.tsv", 2, "-")
    patterns = ["convert_images/*.tsv", "train_model/tiny/seed-*.tsv", "data_page.tsv", "scores_page/tiny/seed-*.tsv"]
    named = {re.split(r"\W", pattern)[0]: f"{tmp_path}/{pattern}" for pattern in patterns}
    return {"download_list": f"{tmp_path}/download_list/*.tsv", **named}


def test_times_are_in_words_and_in_the_order_of_the_pipeline(benchmarks):
    shown = times(benchmarks)
    assert [[cell.text for cell in row] for row in shown.rows] == [
        ["convert the images", "2", "1 min 30 s", "700"],
        ["train the network", "1", "1 h 00 min", "100"],
        ["make the report", "2", "3 s", ""],
    ]
    assert times({"train_model": "nowhere/*.tsv"}) is None


def test_each_rule_has_its_stage_in_words():
    rules = [
        re.match(r"\w+", block)[0]
        for path in (PROJECT / "rules").glob("*.smk")
        for block in re.split(r"^ *(?:use rule \w+ as|rule|checkpoint) ", path.read_text(), flags=re.MULTILINE)[1:]
        if re.search(r"^ +benchmark:$", block, re.MULTILINE)
    ]
    assert len(rules) > 10
    assert set(rules) == STAGES.keys()


def test_overview_shows_each_run(config_values, tmp_path, write_scores, benchmarks):
    config_values |= {"experiment": "tiny", "seeds": [3, 4]}
    config = parse_config(config_values).model_dump(mode="json")
    # the folders know nothing
    paths = [write_scores(tmp_path / str(-seed), ["dna"], seed / 10, "tiny", seed)[2] for seed in (4, 3)]
    left_out = tmp_path / "left_out.csv"
    left_out.write_text("task,image,reason\n")
    overview_page(config, paths, [left_out], benchmarks, tmp_path / "overview.html")
    html = (tmp_path / "overview.html").read_text()
    assert "Overview of tiny" in html
    rows = re.findall(r'data-value="(\d)">\d</td><td class="" data-value="3">3</td>.*?>(0\.\d+)<small>', html)
    assert rows == [("4", "0.400"), ("3", "0.300")]
    assert "R² 0.3500 ± 0.0707" in html
    assert "None: every listed image could be used." in html
    assert "train the network" in html
    assert "neither to train the model" in html

    left_out.write_text("task,image,reason\ntom20,data/a.czi,is <cut> short\n")
    config["evaluate"]["model"] = "their.safetensors"
    overview_page(config, paths[:1], [left_out], {}, tmp_path / "overview.html")
    html = (tmp_path / "overview.html").read_text()
    assert "is &lt;cut&gt; short" in html
    assert "their.safetensors" in html
    assert "±" not in html
    assert "No job was measured" in html
    assert "neither to train the model" not in html

    overview_page(config, paths[:1], [], {}, tmp_path / "overview.html")
    assert "Images left out" not in (tmp_path / "overview.html").read_text()
    assert left_out_table([]) is None
