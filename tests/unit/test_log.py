"""A job's log, its progress lines, and how an error ends it."""

import logging
import sys

import pytest

from ssp_model import log
from ssp_model.errors import InputError


@pytest.fixture
def job_log(tmp_path, monkeypatch):
    """The path of a job's log; logger and hook are put back afterwards."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(log.logger, "handlers", log.logger.handlers)
    yield tmp_path / "results/logs/train_model/a/seed-0.log"
    logging.captureWarnings(False)


def test_an_error_of_the_user_is_one_sentence_without_traceback(job_log, capsys):
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


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(log.logger, "handlers", [])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with log.progress("convert tom20", 4, "images") as advance:
        advance(4)
    assert "4/4 images" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SLURM_PROCID", "RANK", "LOCAL_RANK"])
def test_only_the_first_process_writes_the_log(job_log, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    log.log_to(job_log)
    log.logger.info("the second process")
    assert not job_log.exists()


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (200, "3 min 20 s"), (18_120, "5 h 02 min")])
def test_durations(seconds, text):
    assert log.duration(seconds) == text


def test_warnings_are_collected_instead_of_shown(capsys):
    log.log_to_terminal()
    with log.collected_warnings() as texts:
        logging.getLogger("ssp_model.images.reader").warning("%s has %d scenes", "a.czi", 2)
        log.logger.info("no warning")
    log.logger.warning("shown again")
    assert texts == ["a.czi has 2 scenes"]
    assert capsys.readouterr().err == "shown again\n"
