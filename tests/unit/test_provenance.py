"""Digests of the code behind a result, and logs of failed jobs."""

import logging
import sys

import pytest

from ssp_model import log, provenance
from ssp_model.errors import InputError
from ssp_model.provenance import failed_job_logs, source_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules, the first of which imports the second."""
    folder = tmp_path / "ssp_model"
    (folder / "training").mkdir(parents=True)
    (folder / "training/train.py").write_text("from ssp_model.nn import net\nfrom ssp_model.log import logger\n")
    (folder / "nn.py").write_text("net = 1\n")
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    source_digest.cache_clear()
    yield folder
    source_digest.cache_clear()


def digest() -> str:
    source_digest.cache_clear()
    return source_digest("training.train")


def test_digest_follows_imports_and_ignores_comments(package):
    before = digest()
    (package / "nn.py").write_text("# a comment\nnet   =  1\n")
    assert digest() == before
    (package / "nn.py").write_text('"""A docstring."""\nnet = 1\n')
    with_text = digest()
    (package / "nn.py").write_text('"""Another."""\nnet = 1\n')
    assert digest() == with_text
    (package / "nn.py").write_text("net = 2\n")
    assert digest() != before


def test_digests_of_the_real_package():
    source_digest.cache_clear()
    assert source_digest("training.train") != source_digest("evaluation.evaluate")
    assert source_digest("data.splits") == source_digest("data.splits")


def test_logs_of_failed_jobs_are_found(tmp_path):
    told = "    log: {} (check log file(s) for error details)\n"
    failed = told.format("results/logs/x.log"), told.format("s3://bucket/run/results/logs/y.log (send to storage)")
    (tmp_path / "snakemake.log").write_text(f"Error in rule x:\n{failed[0]}{failed[0]}Error in rule y:\n{failed[1]}")
    found = failed_job_logs([tmp_path / "snakemake.log"])
    assert found == ["results/logs/x.log", "s3://bucket/run/results/logs/y.log"]


def test_a_failed_job_of_a_cluster_has_two_logs(tmp_path):
    logs = [tmp_path / "job.log", tmp_path / "slurm/7.log"]
    logs[1].parent.mkdir()
    for path in logs:
        path.write_text("why\n")
    said = tmp_path / "snakemake.log"
    said.write_text(f"    log: {logs[0]}, {logs[1]} (check log file(s) for error details)\n")
    assert failed_job_logs(said) == [str(path) for path in logs]


@pytest.fixture
def job_log(tmp_path, monkeypatch):
    """Where a job's log goes; logger and hook are afterwards as they were."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(log.logger, "handlers", log.logger.handlers)
    yield tmp_path / "results/logs/train_model/a/seed-0.log"
    logging.captureWarnings(False)


def test_mendable_errors_are_one_sentence_without_traceback(job_log, capsys):
    log.log_to(job_log)
    for error in (InputError("tom20.csv lists no image."), ZeroDivisionError("a fault")):
        sys.excepthook(type(error), error, None)
    assert "train_model/a/seed-0: tom20.csv lists no image.\n" in capsys.readouterr().err
    text = job_log.read_text()
    assert "ERROR tom20.csv lists no image.\n" in text
    assert text.count("ZeroDivisionError") == 1
    assert "InputError" not in text


def test_progress_is_a_plain_line_now_and_then(job_log, monkeypatch):
    log.log_to(job_log)
    monkeypatch.setattr(log, "LINE_EVERY_S", 0.0)
    with log.progress("convert tom20", 4, "images") as advance:
        advance(1)
        advance(1)
    lines = job_log.read_text().splitlines()
    assert "convert tom20: 1 of 4 images" in lines[0]
    assert "convert tom20: 2 of 4 images" in lines[1]


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (200, "3 min 20 s"), (18_120, "5 h 02 min")])
def test_durations(seconds, text):
    assert log.duration(seconds) == text
