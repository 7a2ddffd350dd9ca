"""A copy of a file on the machine's own disk, in the temporary folder (TMPDIR), while a block of code runs."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssp_model.errors import InputError
from ssp_model.scratch import scratch_folder

logger = logging.getLogger(__name__)


@contextmanager
def scratch_copy(path: Path) -> Iterator[Path]:
    """Yield a copy of a file, and remove it after the block.

    Raises
    ------
    InputError
        There is not enough space.
    """
    size = path.stat().st_size
    with scratch_folder("ssp-scratch") as folder:
        free = shutil.disk_usage(folder).free
        if size > free:
            raise InputError(_no_room(path, folder.parent, f"{free / 2**30:.1f} GiB are free there"))
        logger.info("copying %s (%.1f GiB) to %s", path, size / 2**30, folder)
        try:
            copy = shutil.copyfile(path, folder / path.name)
        except OSError as error:
            raise InputError(_no_room(path, folder.parent, f"copying failed ({error.strerror})")) from None
        yield copy


def _no_room(path: Path, folder: Path, found: str) -> str:
    size = f"{path.stat().st_size / 2**30:.1f} GiB"
    return (
        f"{path} ({size}) can't be copied to {folder} of {os.uname().nodename}: {found}; let TMPDIR name a folder with "
        "more room, or set the resource cache of train_model to disk."
    )
