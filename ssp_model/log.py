"""Logging and progress: plain lines in a job's log, a bar on a person's terminal."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ssp_model.errors import InputError

logger = logging.getLogger("ssp_model")

LINE_EVERY_S = 15.0
"""A log gets at most one progress line in this many seconds."""


def log_to(path: str | Path) -> None:
    """Send a workflow job's log to `path` and, shortened to the job's name, to stderr.

    An `InputError` that ends the job is written as its sentence; any other error with its traceback.
    """
    if process_rank() > 0:
        log_to_terminal()
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, mode="w")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(logging.Formatter(f"{_job_name(path)}: %(message)s"))
    logger.handlers = [to_file, to_terminal]
    logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").handlers = [to_file]
    sys.excepthook = _log_exception


def log_to_terminal() -> None:
    """Send the log to stderr, for the command line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    # the first of several processes speaks for all
    logger.setLevel(logging.INFO if process_rank() == 0 else logging.ERROR)


def process_rank() -> int:
    """Which of the processes of one training this is, as its launcher says."""
    return max(int(os.environ.get(name) or 0) for name in ("SLURM_PROCID", "RANK", "LOCAL_RANK"))


def _job_name(path: Path) -> str:
    """`results/logs/convert/tom20.log` is the log of the job `convert/tom20`."""
    parts = path.with_suffix("").parts
    return "/".join(parts[parts.index("logs") + 1 :]) if "logs" in parts else path.stem


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, InputError):
        logger.error("%s", error)
    else:
        logger.error("%s", error, exc_info=(kind, error, trace))


@contextmanager
def progress(description: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    """Show the progress of long work; yields a function that adds to the amount done.

    On a terminal that is a bar with the time left; in a log, a plain line every `LINE_EVERY_S` seconds.
    """
    if sys.stderr.isatty() and not _logs_to_file():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        )
        with Progress(*columns, TextColumn(unit), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task(description, total=total)
            yield lambda amount: bar.advance(task, amount)
        return
    done, started = 0.0, time.monotonic()
    last_line = started

    def advance(amount: float) -> None:
        nonlocal done, last_line
        done += amount
        now = time.monotonic()
        if now - last_line >= LINE_EVERY_S and done:
            left_s = (now - started) * (total - done) / done
            logger.info(
                "%s: %s of %s %s, %s left",
                description,
                f"{done:,.0f}",
                f"{total:,.0f}",
                unit,
                duration(left_s),
            )
            last_line = now

    yield advance


def _logs_to_file() -> bool:
    return any(isinstance(handler, logging.FileHandler) for handler in logger.handlers)


def duration(seconds: float) -> str:
    """A duration as a person says it: `42 s`, `3 min 20 s`, `5 h 02 min`."""
    seconds = max(0, round(seconds))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
