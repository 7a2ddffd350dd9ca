"""Folders for scratch files, which vanish with the work that needs them."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def scratch_folder(kind: str, where: str | Path | None = None) -> Iterator[Path]:
    """Yield a new folder, and remove it after the block.

    The name tells host and process, so folders that killed processes of this host left behind are removed first.

    Parameters
    ----------
    kind : str
        How its name starts.
    where : path, optional
        Where to make it; the temporary folder (TMPDIR) without.
    """
    where = Path(where or tempfile.gettempdir())
    prefix = f"{kind}.{socket.gethostname()}."
    for left in where.glob(f"{prefix}*"):
        if not _lives(left.name.removeprefix(prefix).partition(".")[0]):
            shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}.", dir=where))
    try:
        yield scratch
    finally:
        # a second Ctrl-C must not leave half of it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        shutil.rmtree(scratch, ignore_errors=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lives(process: str) -> bool:
    """Whether a process still runs; anything that is not the number of a process counts as if it did."""
    if not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
