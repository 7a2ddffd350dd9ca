"""What is in a microscope file: axes, sizes, channels and, if asked for, the intensities of each channel.

Nothing is decoded for the metadata. Intensities are read plane by plane, once: memory does not depend on the size of
the image. A voxel is

- saturated if it has the highest value that its type, or a camera of 12 or 14 bits, can give;
- hot if it lies more than `HOT_STDS` standard deviations of its plane above the plane's mean, and more than `HOT_TIMES`
  times as far above it as the brightest of its eight neighbours: no lens makes so sharp a spot of light.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssp_model.errors import InputError
from ssp_model.files import size_of
from ssp_model.images.description import SceneInfo, Sizes
from ssp_model.images.reader import GREY, Image, ImageFile, open_file
from ssp_model.log import progress

PERCENTS = (0.1, 50.0, 99.9)

CAMERA_CEILINGS = (2**12 - 1, 2**14 - 1, (2**12 - 1) << 4, (2**14 - 1) << 2)
"""Highest values of cameras of 12 and 14 bits in files of 16 bits; some shift their values to the left."""

HOT_STDS, HOT_TIMES = 20.0, 2.0

MOST_LISTED = 8
"""Planes that a sentence lists by number."""

BINS_16 = 2**16
BINS_FLOAT = 2**20
"""A bin holds the numbers whose first 20 bits are the same: it is 0.05 % wide."""


@dataclass(frozen=True)
class Intensities:
    """The intensities of a channel, at all its time points.

    Where tiles leave a gap nothing is measured. Percentiles are exact for types of 8 and 16 bits; for others they are
    within 0.05 %.

    Attributes
    ----------
    min, max, mean : float or None
        Of the finite voxels; None if there is none.
    percentiles : tuple of float or None
        The 0.1, 50 and 99.9 percentiles.
    ceiling : float or None
        Highest value that the camera can give; None if it is not known, as for float numbers.
    saturated : float
        Share of voxels at the ceiling.
    constant_planes : tuple of int
        Planes of a single value, counted from 0 over all time points.
    hot_voxels : int
    not_finite : int
        Voxels that are NaN or infinite.
    not_covered : float
        Share of a plane that no tile covers.
    is_mask : bool
        There are no more than two values.
    """

    min: float | None
    max: float | None
    mean: float | None
    percentiles: tuple[float | None, ...]
    ceiling: float | None
    saturated: float
    constant_planes: tuple[int, ...]
    hot_voxels: int
    not_finite: int
    not_covered: float
    is_mask: bool

    @property
    def is_constant(self) -> bool:
        """Whether all voxels have one value, or none has any."""
        return self.min == self.max

    @property
    def odd_planes(self) -> tuple[int, ...]:
        """Planes of a single value, unless most of the channel has its lowest value, as in a mask."""
        return () if self.min == self.percentiles[1] else self.constant_planes


@dataclass(frozen=True)
class ChannelReport:
    """A channel of a scene.

    Attributes
    ----------
    number : int
    name : str
    is_colour : bool
    missing_planes : tuple of int
        Planes that the file does not hold, counted from 0 over all time points.
    intensities : Intensities or None
        None if they were not asked for, or can't be read.
    error : str
        Why the channel can't be read; empty if nothing is known against it.
    """

    number: int
    name: str
    is_colour: bool
    missing_planes: tuple[int, ...] = ()
    intensities: Intensities | None = None
    error: str = ""


@dataclass(frozen=True)
class SceneReport:
    """A scene of a file.

    Attributes
    ----------
    pixel_size_um : tuple of float or None
        Z, Y, X.
    pixel_size_source : str
        Where the file gives it.
    pixel_size_doubts : tuple of str
        Why a size in the file is not used.
    """

    number: int
    name: str
    num_times: int
    shape_zyx: tuple[int, int, int]
    dtype: str
    pixel_size_um: Sizes
    pixel_size_source: str
    pixel_size_doubts: tuple[str, ...]
    compression: str
    notes: tuple[str, ...]
    channels: tuple[ChannelReport, ...]


@dataclass(frozen=True)
class FileReport:
    """What is in a file.

    Attributes
    ----------
    num_bytes : int
        Of the file, or of all files in the folder of an OME-Zarr.
    error : str
        Why it can't be read; then there are no scenes.
    """

    path: str
    format: str
    num_bytes: int
    scenes: tuple[SceneReport, ...]
    error: str = ""


def inspect_files(paths: Iterable[str | Path], *, pixels: bool = False) -> Iterator[FileReport]:
    """Yield what is in each file, as `inspect_file` returns it; one that can't be read has an error."""
    for path in paths:
        try:
            yield inspect_file(path, pixels=pixels)
        except InputError as error:
            yield FileReport(str(path), "", 0, (), str(error))


def inspect_file(path: str | Path, *, pixels: bool = False) -> FileReport:
    """Return what is in a microscope file.

    Parameters
    ----------
    path : path
        File of any format that `open_file` reads.
    pixels : bool, optional
        Also read the intensities of each channel.

    Raises
    ------
    InputError
        It can't be read as an image.
    """
    with open_file(path) as file, _advance(file) if pixels else nullcontext() as advance:
        scenes = tuple(_scene(file, number, advance) for number in range(len(file.scenes)))
    return FileReport(str(path), file.format, size_of(path), scenes)


def measure(planes: Iterable[np.ndarray], covered: np.ndarray | None = None) -> Intensities:
    """Measure the intensities of a channel.

    Parameters
    ----------
    planes : iterable of ndarray
        (Y, X) each, any real type.
    covered : ndarray, optional
        Pixels of a plane that were recorded, (Y, X); all without.
    """
    histogram: Histogram | None = None
    constant: list[int] = []
    hot = not_finite = 0
    for number, plane in enumerate(planes):
        histogram = histogram or Histogram(plane.dtype)
        recorded = plane.ravel() if covered is None else plane[covered]
        if plane.dtype.kind == "f":
            is_finite = np.isfinite(recorded)
            if not is_finite.all():
                not_finite += int((~is_finite).sum())
                recorded = recorded[is_finite]
        if not len(recorded):
            continue
        least, most = histogram.add(recorded)
        if least == most:
            constant.append(number)
        else:
            hot += _count_hot(plane, recorded, most)
    if histogram is None:
        raise ValueError("there is no plane")
    ceiling = _ceiling(histogram.dtype, histogram.max)
    return Intensities(
        min=histogram.min,
        max=histogram.max,
        mean=histogram.mean,
        percentiles=tuple(histogram.percentile(percent) for percent in PERCENTS),
        ceiling=ceiling,
        saturated=histogram.share_at_max if ceiling is not None and ceiling == histogram.max else 0.0,
        constant_planes=tuple(constant),
        hot_voxels=hot,
        not_finite=not_finite,
        not_covered=0.0 if covered is None else 1 - float(covered.mean()),
        is_mask=histogram.num_values <= 2,
    )


class Histogram:
    """How often each value comes, in bounded memory.

    Integers of 8 and 16 bits have a bin each. Other numbers are put, as float32, into bins by their sign, exponent and
    first digits, so that a bin is as narrow as its values are small.

    Attributes
    ----------
    dtype : dtype
    min, max : float or None
        None if nothing was added.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self._is_exact = dtype.kind in "uib" and dtype.itemsize <= 2
        self._counts = np.zeros(BINS_16 if self._is_exact else BINS_FLOAT, np.int64)
        self._sum, self._num_at_max = 0.0, 0
        self.min: float | None = None
        self.max: float | None = None

    def add(self, values: np.ndarray) -> tuple[float, float]:
        """Add finite values, (N,), at least one; return the least and the highest of them."""
        least, most = float(values.min()), float(values.max())
        if self.max is None or most > self.max:
            self._num_at_max = 0
        self.min = least if self.min is None else min(self.min, least)
        self.max = most if self.max is None else max(self.max, most)
        if most == self.max:
            self._num_at_max += int((values == values.max()).sum())
        self._sum += float(values.sum(dtype=np.float64))
        self._counts += np.bincount(self._bins(values), minlength=len(self._counts))
        return least, most

    @property
    def num_voxels(self) -> int:
        """How many values were added."""
        return int(self._counts.sum())

    @property
    def mean(self) -> float | None:
        """Mean of all values."""
        return self._sum / self.num_voxels if self.num_voxels else None

    @property
    def share_at_max(self) -> float:
        """Share of the values that equal the highest."""
        return self._num_at_max / max(self.num_voxels, 1)

    @property
    def num_values(self) -> int:
        """How many bins are not empty."""
        return int(np.count_nonzero(self._counts))

    def percentile(self, percent: float) -> float | None:
        """Return the least value that at least `percent` % of all values do not exceed."""
        if self.min is None or self.max is None:
            return None
        rank = max(math.ceil(percent / 100 * self.num_voxels), 1)
        at = int(np.searchsorted(np.cumsum(self._counts), rank))
        return min(max(self._value(at), self.min), self.max)

    def _bins(self, values: np.ndarray) -> np.ndarray:
        if self._is_exact:
            return values.astype(np.int64) + (BINS_16 // 2 if self.dtype.kind == "i" else 0)
        with np.errstate(over="ignore"):
            bits = values.astype("<f4").view("<u4")
        # the bits of floats are in the order of the numbers if the negative ones are turned round
        ordered = np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
        return (ordered >> 12).astype(np.int64)

    def _value(self, at: int) -> float:
        """Return the value of a bin, of several that which is nearest to zero: whole numbers below 4096 stay exact."""
        if self._is_exact:
            return float(at - (BINS_16 // 2 if self.dtype.kind == "i" else 0))
        is_positive = at >= BINS_FLOAT // 2
        bits = (at - BINS_FLOAT // 2) << 12 if is_positive else (BINS_FLOAT - 1 - at) << 12 | 1 << 31
        return float(np.uint32(bits).view(np.float32))


def _count_hot(plane: np.ndarray, recorded: np.ndarray, most: float) -> int:
    """Count the hot voxels of a plane, (Y, X), as defined at the top of this module."""
    mean, std = float(recorded.mean(dtype=np.float64)), float(recorded.std(dtype=np.float64))
    if not most > mean + HOT_STDS * std:
        return 0
    rows, columns = np.nonzero((plane > mean + HOT_STDS * std) & np.isfinite(plane))
    # the border has no neighbours outside: there the darkest stand in
    padded = np.pad(plane.astype(np.float64), 1, constant_values=-np.inf)
    neighbours = [
        padded[rows + dy, columns + dx] for dy, dx in itertools.product(range(3), repeat=2) if (dy, dx) != (1, 1)
    ]
    brightest = np.fmax.reduce(neighbours)
    return int((plane[rows, columns] - mean > HOT_TIMES * np.maximum(brightest - mean, 0)).sum())


def _ceiling(dtype: np.dtype, most: float | None) -> float | None:
    if dtype.kind not in "ui" or most is None:
        return None
    return float(most if dtype.itemsize == 2 and most in CAMERA_CEILINGS else np.iinfo(dtype).max)


def _advance(file: ImageFile) -> AbstractContextManager[Callable[[float], None]]:
    """Show the progress over all planes of a file."""
    num_planes = sum(scene.num_times * len(scene.channel_names) * scene.shape_zyx[0] for scene in file.scenes)
    return progress(f"read {file.name}", num_planes, "planes")


def _scene(file: ImageFile, number: int, advance: Callable[[float], None] | None) -> SceneReport:
    info = file.scenes[number]
    # made here and not by `file.image`, which warns of what the report tells
    images = [Image(file, number, info, time) for time in range(info.num_times)]
    return SceneReport(
        number=number,
        name=info.name,
        num_times=info.num_times,
        shape_zyx=info.shape_zyx,
        dtype=info.dtype.name,
        pixel_size_um=info.pixel_size.um,
        pixel_size_source=info.pixel_size.source,
        pixel_size_doubts=info.pixel_size.doubts,
        compression=info.compression,
        notes=info.notes,
        channels=tuple(_channel(images, channel, info, advance) for channel in range(len(info.channel_names))),
    )


def _channel(
    images: Sequence[Image], number: int, info: SceneInfo, advance: Callable[[float], None] | None
) -> ChannelReport:
    """Describe a channel, given all time points of its scene."""
    report = ChannelReport(number, info.channel_names[number], number in info.colour_channels)
    depth = info.shape_zyx[0]
    try:
        missing = [time * depth + z for time, image in enumerate(images) for z in image.missing_planes(number)]
        report = replace(report, missing_planes=tuple(missing))
        if advance:
            wanted = f"{number}{GREY}" if report.is_colour else number
            planes = _counted((plane for image in images for plane in image.planes(wanted)), advance)
            report = replace(report, intensities=measure(planes, _covered(images, number)))
    except InputError as error:
        report = replace(report, error=str(error))
    return report


def _covered(images: Sequence[Image], channel: int) -> np.ndarray | None:
    """Return which pixels were recorded at all time points, (Y, X); None if all were."""
    parts = [covered for image in images if (covered := image.covered(channel)) is not None]
    return np.logical_and.reduce(parts) if parts else None


def _counted(planes: Iterable[np.ndarray], advance: Callable[[float], None]) -> Iterator[np.ndarray]:
    for plane in planes:
        yield plane
        advance(1)


def size_text(num_bytes: int) -> str:
    """Write a file's size: `1.4 MB`."""
    size = float(num_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{num_bytes} bytes"
        size /= 1000
    return f"{size:,.1f} TB"


def number_text(value: float | None) -> str:
    """Write an intensity: whole numbers as they are, others with four digits."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e7 else f"{value:.4g}"


def share_text(share: float) -> str:
    """Write a share of voxels in percent, small ones with one digit."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{share:.0%}".replace("%", " %")


def planes_text(planes: Sequence[int]) -> str:
    """Write numbers of planes: `3 planes (4, 5, 6)`."""
    listed = ", ".join(map(str, planes[:MOST_LISTED])) + (", ..." if len(planes) > MOST_LISTED else "")
    return f"{len(planes):,} plane{'s' if len(planes) > 1 else ''} ({listed})"
