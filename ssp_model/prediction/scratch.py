"""What a prediction keeps on disk meanwhile, and how it is cleaned away however the prediction ends."""

import errno
import logging
import math
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from ssp_model.images.description import Voxels
from ssp_model.scratch import STOPPING

logger = logging.getLogger(__name__)


class _Stopped(BaseException):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def stopped_in_a_sentence() -> Iterator[None]:
    """End the process with one sentence, after all clean-up, if Ctrl-C, SIGTERM or SIGHUP stops the block.

    Raises
    ------
    SystemExit
        The exit status is 128 and the number of the signal, as a shell has it.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # nohup lets SIGHUP be ignored, and that stays so
    heard = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    except _Stopped as stopped:
        logger.error("Stopped by %s; finished predictions are kept, run the same command again for the rest.", stopped)
        raise SystemExit(128 + stopped.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Volumes(AbstractContextManager["Volumes"]):
    """Volumes by name: in memory as long as they fit, else in one file, whose space is free again in the end.

    A file for each volume would be too many to be open at once for a long time series.

    Parameters
    ----------
    folder : path
        Where the file lies, without a name.
    memory : int
        Bytes that the volumes may take in memory, all together.
    """

    def __init__(self, folder: Path, memory: int) -> None:
        self._memory = memory
        self._volumes: dict[str, Voxels] = {}
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._end = 0

    def __getitem__(self, name: str) -> Voxels:
        return self._volumes[name]

    def place(self, name: str, shape: Sequence[int], dtype: np.dtype) -> Voxels:
        """Make the place for a volume; one of the same name and size is used again."""
        known = self._volumes.get(name)
        if known is None or tuple(known.shape) != tuple(shape):
            num_bytes = math.prod(shape) * dtype.itemsize
            if num_bytes <= self._memory:
                self._memory -= num_bytes
                self._volumes[name] = np.empty(shape, dtype)
            else:
                self._volumes[name] = StoredVolume(self._file, self._end, shape, dtype)
                self._end += num_bytes
        return self._volumes[name]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._volumes.clear()
        self._file.close()


class StoredVolume:
    """A volume, (Z, Y, X), in a part of a file, read and written part by part.

    HDF5 is not used: on a full disk it ends the process with a segmentation fault. A memory map ends it with a bus
    error, and counts as memory.

    Parameters
    ----------
    file : file
        Open for reading and writing, without a buffer.
    start : int
        Where the part starts; so far the file ends there.
    shape, dtype :
        Of the volume. Its voxels are 0 until they are written.
    """

    def __init__(self, file: Any, start: int, shape: Sequence[int], dtype: np.dtype) -> None:
        z, y, x = shape
        self.shape, self.dtype = (z, y, x), np.dtype(dtype)
        self._file, self._start = file, start
        self._file.truncate(start + math.prod(shape) * self.dtype.itemsize)

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, int):
            return self[key : key + 1][0]
        planes, rows, columns = self._slices(key)
        part = np.empty((len(planes), len(rows), self.shape[2]), self.dtype)
        for i, z in enumerate(planes):
            self._file.seek(self._offset(z, rows.start))
            self._read(_bytes_of(part[i]))
        return part if len(columns) == self.shape[2] else part[:, :, columns.start : columns.stop].copy()

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, int):
            key, value = slice(key, key + 1), np.asarray(value)[None]
        planes, rows, columns = self._slices(key)
        whole_rows = len(columns) == self.shape[2]
        for i, z in enumerate(planes):
            part = value[i] if whole_rows else self[z : z + 1, rows.start : rows.stop][0]
            if not whole_rows:
                part[:, columns.start : columns.stop] = value[i]
            self._file.seek(self._offset(z, rows.start))
            self._write(_bytes_of(np.ascontiguousarray(part, self.dtype)))

    def _slices(self, key: Any) -> tuple[range, range, range]:
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (3 - len(keys))
        planes, rows, columns = (range(size)[part] for size, part in zip(self.shape, keys, strict=True))
        return planes, rows, columns

    def _offset(self, z: int, y: int) -> int:
        return self._start + (z * self.shape[1] + y) * self.shape[2] * self.dtype.itemsize

    def _read(self, into: memoryview) -> None:
        while into:
            count = self._file.readinto(into)
            if not count:
                raise OSError(errno.EIO, "the scratch file ends too early")
            into = into[count:]

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[self._file.write(data) :]


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
