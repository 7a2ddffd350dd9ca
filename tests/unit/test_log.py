"""A job's log, its progress lines, and how an error ends it."""

import errno
import logging
import re
import resource
import sys

import numpy as np
import pandas as pd
import pytest

from ssp_model import log
from ssp_model.errors import InputError
from ssp_model.files import write_table


@pytest.fixture
def job_log(tmp_path, monkeypatch):
    """The path of a job's log; logger and hook are put back afterwards."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(log.logger, "handlers", log.logger.handlers)
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
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


@pytest.fixture
def full_disk():
    """Files of this process can't grow beyond 10,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_table(pd.DataFrame(np.zeros((9000, 3))), folder / "a.csv"),
        lambda folder: np.save(folder / "a.npy", np.zeros(9000)),
        lambda folder: (folder / "a.html").write_text("a" * 90_000),
    ],
    ids=["table", "array", "page"],
)
def test_a_full_disk_is_one_sentence(job_log, tmp_path, capsys, full_disk, write):
    log.log_to(job_log)
    with pytest.raises(OSError) as error:  # noqa: PT011 each library has its own text
        write(tmp_path)
    log.logger.info("x" * 20_000)
    sys.excepthook(error.type, error.value, None)
    *_, said = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r".*: A file can't be written \(.*\): make room for results and in .* \(TMPDIR\), and run .*", said
    )


H5_FULL = "[Errno 28] Can't write (file write failed: time = now\n, filename = 'r/.part.a.h5', fd = 4, errno = 28, ...)"
H5_AT_THE_END = (
    "Can't decrement id ref count (unable to extend file properly, errno = 27, error message = 'File too large')"
)
H5_LOCKED_UP = (
    "[Errno 13] Unable to create file (unable to open file: name = 'r/volumes/.part.a.h5', errno = 13, flags = 1)"
)


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (OSError(H5_FULL), "r/.part.a.h5 can't be written (No space left on device): make room on its disk, and run"),
        (RuntimeError(H5_AT_THE_END), "A file can't be written (File too large): make room for results and in "),
        (
            OSError(H5_LOCKED_UP),
            "r/volumes/.part.a.h5 can't be opened (Permission denied): change the permissions, and",
        ),
        (
            OSError(errno.EROFS, "", "r/a.csv"),
            "r/a.csv can't be opened (Read-only file system): give another folder with --directory,",
        ),
    ],
)
def test_disks_that_are_full_or_locked_up_are_told_from_other_errors(error, start):
    assert log.disk_problem(error).startswith(start)
    assert log.disk_problem(FileNotFoundError(errno.ENOENT, "", "r/a.csv")) == ""
    assert log.disk_problem(RuntimeError("CUDA error")) == ""


@pytest.mark.parametrize(
    ("text", "free", "start"),
    [
        ("2026-11-27 07:00:00 ERROR a.czi is empty.\n", 0, None),
        ("2026-11-27 07:00:00 INFO stopped by SIGTERM; the same command resumes this training\n", 2**30, None),
        ("slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-11-27T07:00:00 DUE TO TIME LIMIT ***\n", 2**30, None),
        ("2026-11-27 07:00:00 WARNING cells killed.czi has no error\n", 2**30, "It ended without an error: it was"),
        ("", 2**30, "It wrote no log. If nothing above says why, it was killed, most often for lack of memory"),
        ("2026-11-27 07:00:00 INFO 3 images\n", 9, "The disk is full: make room on it"),
    ],
)
def test_it_is_said_why_a_job_failed_that_could_not(text, free, start):
    said = log.what_no_log_says(text, free)
    assert [it[: len(start)] for it in said] == [start] if start else said == []


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
