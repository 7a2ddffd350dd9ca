"""Log and progress: plain lines in a job's log, a bar on a terminal."""

import errno
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType

from ssp_model.errors import InputError

logger = logging.getLogger("ssp_model")

LINE_EVERY_S = 15.0
"""Least time between two progress lines in a log."""


def log_to(path: str | Path) -> None:
    """Send a job's log to the file `path` and to stderr, where each line starts with the job's name.

    An `InputError` that ends the job is logged as its sentence, and so is a disk that is full or may not be written.
    Any other error is logged with its traceback. If several processes share the job, only the first writes the file.
    """
    if process_rank() > 0:
        log_to_terminal()
        return
    sys.excepthook = _log_exception
    # on a full disk, the terminal at least gets each line
    logging.raiseExceptions = False
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, mode="w")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(logging.Formatter(f"{_job_name(path)}: %(message)s"))
    logger.handlers = [to_file, to_terminal]
    logger.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").handlers = [to_file]


def log_to_terminal() -> None:
    """Send the log to stderr, as the `ssp` command does."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    # if several processes share the work, only the first reports it
    logger.setLevel(logging.INFO if process_rank() == 0 else logging.ERROR)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect the warnings that the package logs in this context, instead of showing them; yield the list of them."""
    texts: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield texts
    finally:
        logger.handlers, logger.propagate = handlers, propagate


def process_rank() -> int:
    """Return the number of this process among those of one training, as the launcher set it; 0 for the first."""
    return max(int(os.environ.get(name) or 0) for name in ("SLURM_PROCID", "RANK", "LOCAL_RANK"))


def _job_name(path: Path) -> str:
    """Return the job's name: `convert/tom20` for the log `results/logs/convert/tom20.log`."""
    parts = path.with_suffix("").parts
    return "/".join(parts[parts.index("logs") + 1 :]) if "logs" in parts else path.stem


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if sentence := str(error) if isinstance(error, InputError) else disk_problem(error):
        logger.error("%s", sentence)
    else:
        logger.error("%s", error, exc_info=(kind, error, trace))


def what_no_log_says(text: str, free_bytes: int) -> list[str]:
    """Say why a job failed that did not say so in its log, or in that of its scheduler.

    Parameters
    ----------
    text : str
        The log; empty if there is none.
    free_bytes : int
        Free space on the disk of results.
    """
    if re.search(r"^\S+ \S+ ERROR |stopped by SIG|slurmstepd|oom.kill|cancelled|\bkilled$", text, re.M | re.I):
        return []
    if free_bytes < 2**20:
        return ["The disk is full: make room on it, and run the same command again."]
    if not text:
        return ["It wrote no log. If nothing above says why, it was killed, most often for lack of memory (mem_mb)."]
    return ["It ended without an error: it was killed, most often for lack of memory (mem_mb of its rule)."]


def disk_problem(error: BaseException) -> str:
    """Say that a disk is full or may not be written, if this is what an error means; else return an empty text."""
    text = str(error)
    # HDF5 has the number and the file in its text
    told = re.search(r"errno = (\d+)", text)
    number = int(told[1]) if told else error.errno if isinstance(error, OSError) else None
    # NumPy has no number
    if isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", text):
        number = errno.ENOSPC
    named = re.search(r"name = '([^']*)'", text)
    path = named[1] if named else getattr(error, "filename", None)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what, where = (
            (path, "on its disk") if path else ("A file", f"for results and in {tempfile.gettempdir()} (TMPDIR)")
        )
        return f"{what} can't be written ({os.strerror(number)}): make room {where}, and run the same command again."
    if path and number in (errno.EROFS, errno.EACCES, errno.EPERM):
        mend = "give another folder with --directory" if number == errno.EROFS else "change the permissions"
        return f"{path} can't be opened ({os.strerror(number)}): {mend}, and run the same command again."
    return ""


def progress(description: str, total: float, unit: str) -> AbstractContextManager[Callable[[float], None]]:
    """Show the progress of long work, with the time left.

    A terminal gets a bar, a log a line every `LINE_EVERY_S` seconds.

    Returns
    -------
    context manager
        Gives a function that adds to the amount done so far, in `unit`.
    """
    on_terminal = sys.stderr.isatty() and not any(isinstance(h, logging.FileHandler) for h in logger.handlers)
    return _bar(description, total, unit) if on_terminal else _lines(description, total, unit)


@contextmanager
def _bar(description: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    # jobs and most commands draw no bar: they are spared the import
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda amount: bar.advance(task, amount)


@contextmanager
def _lines(description: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    done, started = 0.0, time.monotonic()
    last_line = started

    def advance(amount: float) -> None:
        nonlocal done, last_line
        done += amount
        now = time.monotonic()
        if now - last_line >= LINE_EVERY_S and done:
            left = duration((now - started) * (total - done) / done)
            logger.info("%s: %s of %s %s, %s left", description, f"{done:,.0f}", f"{total:,.0f}", unit, left)
            last_line = now

    yield advance


def settings_text(settings: Mapping[str, object]) -> str:
    """Write settings in a line, such as `width 32, experts conv5 conv3`."""
    values = {name: " ".join(map(str, it)) if isinstance(it, list | tuple) else it for name, it in settings.items()}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def counted(number: int, noun: str) -> str:
    """Write a number of things: `1 image`, `1,200 images`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Format a duration for people: `42 s`, `3 min 20 s`, `5 h 02 min`."""
    seconds = max(0, round(seconds))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
