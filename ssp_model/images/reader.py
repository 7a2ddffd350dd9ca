"""Read microscope images: TIFF in all its kinds, OME-Zarr, CZI, and what BioIO reads by its plugins.

Axes are ZYX, sizes are in um, channels, scenes and time points are counted from 0. The bytes of a file decide what it
is, not its name. An image is read plane by plane. What can't be read right is refused: a file that is cut off, planes
that are missing, colours, complex numbers.
"""

import logging
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from ssp_model.errors import InputError
from ssp_model.images.description import (
    PixelSize,
    SceneInfo,
    Sizes,
    Voxels,
    channel_title,
    listed_channels,
    scene_title,
)

logger = logging.getLogger(__name__)

TIME_IS_Z = "z"
"""Time point to ask for in a file whose z-stack is stored as time points."""

GREY = ":grey"
"""What follows a channel whose colours are to be averaged."""

MOST_IN_STACK, MOST_PLANES = 10**5, 10**7
"""Planes of a stack, and of all channels and time points of a scene, with room to spare."""

Place = Callable[[str, tuple[int, int, int], np.dtype], Voxels]
"""Makes the place for a volume of some name, shape and type: an array, or a dataset of a file."""


def in_memory(name: str, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Make a place for a volume in memory."""
    return np.empty(shape, dtype)


class Format(Protocol):
    """A file of one format, opened. Its methods may raise any error for a damaged file."""

    name: str
    scenes: list[SceneInfo]

    def plane(self, scene: int, time: int, channel: int, z: int) -> np.ndarray:
        """Return a plane that is there: (Y, X), or (Y, X, samples) in colour."""

    def missing(self, scene: int, time: int, channel: int) -> list[int]:
        """Return the Z of planes that the file does not hold, or not whole, without decoding any."""

    def covered(self, scene: int, time: int, channel: int) -> np.ndarray | None:
        """Return which pixels of the planes were recorded, (Y, X); None if all were."""

    def close(self) -> None:
        """Close the file."""


class ImageFile(AbstractContextManager["ImageFile"]):
    """A microscope file, opened by `open_file`: its scenes, and their images.

    Attributes
    ----------
    path : Path
    name : str
        The name in messages.
    format : str
        Such as `OME-TIFF`.
    scenes : list of SceneInfo
    """

    def __init__(self, path: Path, name: str, opened: Format) -> None:
        self.path, self.name = path, name
        self.format, self.scenes = opened.name, opened.scenes
        self._opened = opened

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def image(
        self,
        scene: int | str | None = None,
        time: int | str | None = None,
        voxel_size_um: Sequence[float | None] | None = None,
    ) -> "Image":
        """Return one scene at one time point.

        Parameters
        ----------
        scene, time
            Number, or name of a scene; `TIME_IS_Z` takes the time points as the planes of one stack. Without, the
            first; a warning tells if there are more.
        voxel_size_um : sequence of float or None, optional
            Z, Y, X, in place of what the file says; None for an axis whose size the file gives.

        Raises
        ------
        InputError
            There is no such scene or time point, or the time must be given (see `times`).
        """
        number = self._scene_number(scene)
        info = self.scenes[number]
        if time is None and len(self.times(number)) > 1:
            logger.warning("%s has %d time points; the first is used", self.scene_text(number), info.num_times)
        for note in info.notes:
            logger.warning("%s: %s", self.scene_text(number), note)
        if voxel_size_um is not None:
            z, y, x = (size or own for size, own in zip(voxel_size_um, info.pixel_size.um, strict=True))
            info = replace(info, pixel_size=PixelSize((z, y, x), "given"))
        return Image(self, number, info, self._time(number, time))

    def times(self, scene: int) -> range:
        """Return the time points of a scene, each of which is an image.

        Raises
        ------
        InputError
            Each is a single plane, so that they may be the planes of one stack: the user must say.
        """
        info = self.scenes[scene]
        if info.num_times > 1 and info.shape_zyx[0] == 1:
            raise InputError(
                f"{self.scene_text(scene)} has {info.num_times} time points of a single plane each. If they are the "
                f"planes of one z-stack, give {TIME_IS_Z} as time; if not, give the number of one time point."
            )
        return range(info.num_times)

    def _scene_number(self, wanted: int | str | None) -> int:
        names = [scene.name for scene in self.scenes]
        listed = ", ".join(scene_title(i, names) for i in range(len(names)))
        if wanted is None:
            if len(names) > 1:
                logger.warning("%s has %d scenes (%s); the first is used", self.name, len(names), listed)
            return 0
        found = _find(wanted, names)
        if len(found) == 1:
            return found[0]
        problem = "several scenes called" if found else "no scene"
        raise InputError(f"{self.name} has {problem} {wanted}; it has {listed}. Give the number of one.")

    def _time(self, scene: int, wanted: int | str | None) -> int | None:
        """Return the number of a time point, None if all together are a stack."""
        info = self.scenes[scene]
        if str(wanted).lower() == TIME_IS_Z:
            if info.shape_zyx[0] > 1:
                raise InputError(f"{self.scene_text(scene)} has {info.shape_text}; its time points are not its planes.")
            return None
        number = 0 if wanted is None else _whole_number(wanted)
        if number is None or number >= info.num_times:
            raise InputError(
                f"{self.scene_text(scene)} has no time point {wanted}; it has {info.num_times}, counted from 0."
            )
        return number

    def scene_text(self, number: int) -> str:
        """Return what to call a scene in a message: the file, and the scene if there are several."""
        if len(self.scenes) == 1:
            return self.name
        return f"{self.name}, scene {scene_title(number, [scene.name for scene in self.scenes])}"


class Image:
    """One scene of a microscope file at one time point; its channels are read one by one.

    Attributes
    ----------
    name : str
        What to call it in messages: the file, and scene and time where there are several.
    info : SceneInfo
    channel_names : list of str
    shape_zyx : tuple of int
        Voxels of a channel.
    pixel_size_um : tuple of float or None
        Z, Y, X; None for an axis whose size the file does not give.
    """

    def __init__(self, file: ImageFile, scene: int, info: SceneInfo, time: int | None) -> None:
        self.info = info
        self.name = file.scene_text(scene)
        if self.info.num_times > 1 and time is not None:
            self.name += f", time {time}"
        self.channel_names = list(self.info.channel_names)
        self.pixel_size_um: Sizes = self.info.pixel_size.um
        depth = self.info.num_times if time is None else self.info.shape_zyx[0]
        self.shape_zyx: tuple[int, int, int] = (depth, *self.info.shape_zyx[1:])
        self._file, self._scene, self._time = file, scene, time
        self._known_missing: dict[tuple[int, int], set[int]] = {}

    def channel(self, wanted: int | str) -> int:
        """Return the number of a channel, given by its number or name.

        Raises
        ------
        InputError
            There is no such channel, or several of that name.
        """
        found = _find(str(wanted).removesuffix(GREY), self.channel_names)
        if len(found) == 1:
            return found[0]
        problem = f"several channels called {wanted}" if found else f"no channel {wanted}"
        counted = ""
        if not found and _whole_number(wanted) == len(self.channel_names):
            counted = " The first channel is 0."
        raise InputError(f"{self.name} has {problem}; it has {listed_channels(self.channel_names)}.{counted}")

    def channel_text(self, channel: int | str) -> str:
        """Return what to call a channel in a message: the image, number and name."""
        number = self.channel(channel)
        return f"{self.name} {channel_title(number, self.channel_names[number])}"

    def planes(self, channel: int | str) -> Iterator[np.ndarray]:
        """Yield the planes of a channel, (Y, X), in the file's own type, or float32 if colours are averaged.

        Raises
        ------
        InputError
            There is no such channel, or it can't be decoded, is not whole, or holds colours or complex numbers.
        """
        number = self.channel(channel)
        self.check(channel)
        for time, z in self._places():
            with _naming(self._file.path, self.name, f"channel {number} can't be decoded"):
                plane = self._file._opened.plane(self._scene, time, number, z)
                if plane.ndim == 3:
                    plane = plane.mean(axis=2, dtype=np.float32)
                if plane.shape != self.shape_zyx[1:]:
                    raise ValueError(f"plane {z} has {plane.shape} pixels and not {self.shape_zyx[1:]}")
            yield plane

    def check(self, channel: int | str) -> None:
        """Refuse a channel that can't be read as intensities; nothing is decoded for it.

        Raises
        ------
        InputError
            There is no such channel, or it is not whole, or holds colours or complex numbers.
        """
        self._check_type(channel)
        if missing := self.missing_planes(channel):
            raise InputError(
                f"{self.channel_text(channel)} is not whole: {len(missing)} of its {self.shape_zyx[0]} planes are "
                f"missing (the first is plane {missing[0]}); copy the file again or leave it out."
            )

    def missing_planes(self, channel: int | str) -> list[int]:
        """Return which planes of a channel the file does not hold; they are counted from 0."""
        number = self.channel(channel)
        with _naming(self._file.path, self.name, f"channel {number} can't be decoded"):
            return [plane for plane, (time, z) in enumerate(self._places()) if z in self._missing(time, number)]

    def _missing(self, time: int, channel: int) -> set[int]:
        place = time, channel
        if place not in self._known_missing:
            self._known_missing[place] = set(self._file._opened.missing(self._scene, time, channel))
        return self._known_missing[place]

    def _places(self) -> list[tuple[int, int]]:
        """Return time and Z, in the file, of each plane."""
        depth = self.shape_zyx[0]
        return [(z, 0) for z in range(depth)] if self._time is None else [(self._time, z) for z in range(depth)]

    def _check_type(self, channel: int | str) -> None:
        if self.channel(channel) in self.info.colour_channels and not str(channel).endswith(GREY):
            raise InputError(
                f"{self.channel_text(channel)} is a colour image, not an intensity; give {self.channel(channel)}{GREY} "
                "as channel to use the mean of its colours."
            )
        if self.info.dtype.kind not in "uifb":
            raise InputError(
                f"{self.name} holds {self.info.dtype} numbers; wanted are whole or real numbers. Save their magnitude."
            )

    def read(self, channel: int | str, place: Place = in_memory) -> Voxels:
        """Return one channel, (Z, Y, X), in the file's own type.

        Parameters
        ----------
        channel : int or str
            Number or name.
        place : callable, optional
            Makes the place to read to.

        Raises
        ------
        InputError
            As for `planes`.
        """
        planes = self.planes(channel)
        first = next(planes)
        volume = place("raw", self.shape_zyx, first.dtype)
        volume[0] = first
        for z, plane in enumerate(planes, start=1):
            volume[z] = plane
        return volume

    def covered(self, channel: int | str) -> np.ndarray | None:
        """Return which pixels of a channel's planes were recorded, (Y, X); None if all were (no gap between tiles)."""
        return self._file._opened.covered(self._scene, self._time or 0, self.channel(channel))


def open_file(path: str | Path, name: str | None = None) -> ImageFile:
    """Open a microscope file; use it in a `with` statement.

    Parameters
    ----------
    path : path
        The file, or the folder of an OME-Zarr.
    name : str, optional
        What the user calls it, where it lies under another name.

    Raises
    ------
    InputError
        It is not there, or it is not an image that can be read.
    """
    path, name = Path(path), name or str(path)
    opener = _opener(path, name)
    with _naming(path, name, "can't be read as an image"), ExitStack() as stack:
        opened = opener(path)
        stack.callback(opened.close)
        for scene in opened.scenes:
            _refuse_absurd_counts(scene)
        stack.pop_all()
        return ImageFile(path, name, opened)


def _refuse_absurd_counts(scene: SceneInfo) -> None:
    """Refuse numbers of planes that only damaged metadata tell of: to look for so many would take hours."""
    depth = scene.shape_zyx[0]
    if depth > MOST_IN_STACK or scene.num_times * len(scene.channel_names) * depth > MOST_PLANES:
        raise InputError(f"its metadata tell of {scene.shape_text}, more planes than a microscope records")


@contextmanager
def _naming(path: Path, name: str, problem: str) -> Iterator[None]:
    """Turn the errors of a format's library into a sentence that names the user's file."""
    try:
        yield
    except MemoryError:
        raise InputError(f"{name} {problem} (there is not enough memory).") from None
    # each library raises its own kinds of errors for a file that it can't read
    except Exception as error:
        text = str(error).replace(str(path), name)
        if isinstance(error, InputError) and text.startswith(name):
            raise InputError(text) from None
        reason = next(iter(text.splitlines()), "").rstrip(".") or type(error).__name__
        raise InputError(f"{name} {problem}: {reason}.") from None


def _find(wanted: int | str, names: list[str]) -> list[int]:
    """Return the numbers of the entries that a number or a name means; a name wins over a number."""
    text = str(wanted).strip()
    if isinstance(wanted, str) and text:
        for exact in (names, [name.casefold() for name in names]):
            if found := [i for i, name in enumerate(exact) if name in (text, text.casefold())]:
                return found
    number = _whole_number(wanted)
    return [number] if number is not None and number < len(names) else []


def _whole_number(text: int | str) -> int | None:
    return int(text) if str(text).strip().isdecimal() else None


def _opener(path: Path, name: str) -> Callable[[Path], Format]:
    """Return what opens a file, by its first bytes."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _folder_opener(path, name)
        if not stat.S_ISREG(mode):
            raise InputError(f"{name} is a device or a pipe; give an image file.")
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist; check the path.") from None
    except OSError as error:
        raise InputError(f"{name} can't be opened ({error.strerror}); check the path and its permissions.") from None
    if start.startswith(b"ZISRAWFILE"):
        from ssp_model.images.czi import CziFormat

        return CziFormat
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        from ssp_model.images.tiff import TiffFormat

        return TiffFormat
    if start.startswith(b"PK\x03\x04"):
        from ssp_model.images.zarr_format import ZarrFormat

        return ZarrFormat
    for magic, what in NO_IMAGES.items():
        if start.lstrip().lower().startswith(magic) or not start:
            raise InputError(f"{name} is {what if start else 'empty (0 bytes)'}, not a microscope image.")
    from ssp_model.images.bioio_format import BioioFormat

    return BioioFormat


NO_IMAGES = {
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"\x1f\x8b": "compressed by gzip (unpack it first)",
    b"\x89png": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%pdf": "a PDF",
    b"\x89hdf": "an HDF5 file",
}


def _folder_opener(path: Path, name: str) -> Callable[[Path], Format]:
    if not any((path / file).exists() for file in ("zarr.json", ".zattrs", ".zgroup", ".zarray")):
        raise InputError(f"{name} is a folder without the metadata of an OME-Zarr; give an image file or an OME-Zarr.")
    from ssp_model.images.zarr_format import ZarrFormat

    return ZarrFormat
