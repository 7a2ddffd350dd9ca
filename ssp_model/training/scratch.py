"""A copy of a file on the machine's own disk, in the temporary folder (TMPDIR), while a block of code runs.

The copy is locked while its process lives. If a process was killed, its copy has no lock; the next training that makes
a copy on this machine removes it.
"""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ssp_model.errors import InputError

logger = logging.getLogger(__name__)

PREFIX = "ssp-scratch-"
LOCKED_WITHIN_S = 60.0
"""A copy is locked right after it appears. Copies younger than this are never removed."""


@contextmanager
def scratch_copy(path: Path) -> Iterator[Path]:
    """Yield a copy of a file, and remove it after the block.

    Raises
    ------
    InputError
        There is not enough space.
    """
    folder, size = Path(tempfile.gettempdir()), path.stat().st_size
    remove_abandoned(folder)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(_no_room(path, folder, f"{free / 2**30:.1f} GiB are free there"))
    with tempfile.NamedTemporaryFile(prefix=PREFIX, suffix=path.suffix, dir=folder) as copy:
        try:
            fcntl.flock(copy, fcntl.LOCK_SH)
            logger.info("copying %s (%.1f GiB) to %s", path, size / 2**30, folder)
            with path.open("rb") as file:
                shutil.copyfileobj(file, copy, 2**24)
            copy.flush()
        except OSError as error:
            raise InputError(_no_room(path, folder, f"copying failed ({error.strerror})")) from None
        yield Path(copy.name)


def remove_abandoned(folder: Path) -> None:
    """Remove copies that killed processes left behind."""
    for path in folder.glob(f"{PREFIX}*"):
        # it may belong to another user, be locked, or be gone meanwhile
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - path.stat().st_mtime > LOCKED_WITHIN_S:
                path.unlink()


def _no_room(path: Path, folder: Path, found: str) -> str:
    size = f"{path.stat().st_size / 2**30:.1f} GiB"
    return (
        f"{path} ({size}) can't be copied to {folder} of {os.uname().nodename}: {found}; let TMPDIR name a folder with "
        "more room, or set the resource cache of train_model to disk."
    )
