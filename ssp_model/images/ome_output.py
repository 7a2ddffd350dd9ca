"""What an output image holds, whatever its format: `ome_tiff` and `ome_zarr` write the same content.

Pixels come plane by plane, (Y, X) each, in the order T, C, Z with Z fastest, so memory does not depend on the number of
planes. They are standardised intensities, stored as float32, or as uint16 with a mapping for each channel.
"""

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssp_model.errors import InputError

if TYPE_CHECKING:
    import h5py

PROJECT_KEY = "ssp_model"
"""Under this name the files hold what the OME formats have no place for."""

TRANSMITTED_LIGHT = "transmitted light"
"""Name of the channel that is shown in grey."""

GREY = "FFFFFF"
COLOURS = ("56B4E9", "E69F00", "009E73", "CC79A7", "D55E00", "F0E442", "0072B2")
"""The colours of Okabe and Ito, which colour-blind people tell apart, the best visible on black first."""

SMALL_PLANE = 1024
"""Pixels along Y and X of a plane that needs no smaller level, as it fits on a screen."""

UINT16_STEPS = 2**16 - 1

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class IntensityMapping:
    """How a channel's standardised intensities are stored as uint16: round((standardised - offset) / step).

    Attributes
    ----------
    offset : float
        The standardised intensity that is stored as 0.
    step : float
        The difference in standardised intensity between two neighbouring stored values.
    """

    offset: float
    step: float

    @classmethod
    def of_range(cls, low: float, high: float) -> "IntensityMapping":
        """Return the mapping with the finest step for intensities from `low` to `high`."""
        # a constant channel, and a range that is too narrow for float64
        step = (float(high) - float(low)) / UINT16_STEPS or 1.0
        return cls(float(low), step)

    def to_stored(self, standardised: np.ndarray) -> np.ndarray:
        """Return the stored values, uint16. Intensities outside the range are clipped to its ends."""
        steps = standardised.astype(np.float64)
        steps -= self.offset
        steps /= self.step
        return np.clip(np.rint(steps, out=steps), 0, UINT16_STEPS, out=steps).astype("<u2")

    def to_standardised(self, stored: np.ndarray) -> np.ndarray:
        """Return the standardised intensities, float32, within half a step and the rounding to float32."""
        return (self.offset + self.step * stored.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True)
class OmeContent:
    """What an output image holds, besides its pixels.

    Attributes
    ----------
    shape : tuple of int
        T, C, Z, Y, X.
    channel_names : sequence of str
        One for each channel.
    voxel_size_um : sequence of float or None, or None
        Z, Y, X; None for an axis whose size is not known: then the file gives none for it.
    mappings : sequence of IntensityMapping, or None
        One for each channel, to store uint16; None stores float32.
    colours : sequence of str
        One for each channel, as six hexadecimal digits (RGB). Default: grey for transmitted light, and colours that
        colour-blind people tell apart for all others, used cyclically.
    contrast_limits : sequence of (float, float), or None
        For each channel the stored values to show as black and as full colour; None leaves them to the viewer.
    time_step_s : float, or None
        Seconds between time points; None if not known.
    provenance : mapping of str to str
        What made the image: model, its checksum, version, settings.

    Raises
    ------
    ValueError
        A sequence does not have one entry for each channel or axis, or a size is not positive.
    """

    shape: tuple[int, int, int, int, int]
    channel_names: Sequence[str]
    voxel_size_um: Sequence[float | None] | None = None
    mappings: Sequence[IntensityMapping] | None = None
    colours: Sequence[str] = ()
    contrast_limits: Sequence[tuple[float, float]] | None = None
    time_step_s: float | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.colours:
            object.__setattr__(self, "colours", default_colours(self.channel_names))
        num_channels = self.shape[1]
        for name in ("channel_names", "mappings", "colours", "contrast_limits"):
            entries = getattr(self, name)
            if entries is not None and len(entries) != num_channels:
                raise ValueError(f"{name} has {len(entries)} entries, but there are {num_channels} channels")
        if len(self.sizes_um) != 3:
            raise ValueError(f"voxel_size_um is {self.voxel_size_um} but should be Z, Y, X")
        sizes = [size for size in (*self.shape, *self.sizes_um, self.time_step_s) if size is not None]
        if not all(0 < size < np.inf for size in sizes):
            raise ValueError(f"shape, voxel size and time step should be positive, but one of {sizes} is not")

    @property
    def sizes_um(self) -> tuple[float | None, ...]:
        """Voxel size in Z, Y, X; None for an axis whose size is not known."""
        return (None, None, None) if self.voxel_size_um is None else tuple(self.voxel_size_um)

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored values, little-endian."""
        return np.dtype("<u2" if self.mappings else "<f4")

    @property
    def num_planes(self) -> int:
        """Number of planes of all time points and channels."""
        num_t, num_c, num_z = self.shape[:3]
        return num_t * num_c * num_z

    @property
    def level_shapes(self) -> list[tuple[int, int]]:
        """Y and X of each level of the pyramid: halved, rounded up, until a plane is small."""
        shapes = [self.shape[3:]]
        while max(shapes[-1]) > SMALL_PLANE:
            height, width = shapes[-1]
            shapes.append((-(-height // 2), -(-width // 2)))
        return shapes

    def to_stored(self, plane: np.ndarray, channel: int) -> np.ndarray:
        """Return a plane of standardised intensities as it is stored.

        Raises
        ------
        ValueError
            The plane has another shape.
        InputError
            The plane has values that are not finite.
        """
        if plane.shape != self.shape[3:]:
            raise ValueError(f"a plane has the shape {plane.shape}, but the image's planes have {self.shape[3:]}")
        if not np.isfinite(plane).all():
            raise InputError(
                f"Channel {self.channel_names[channel]!r} has values that are not finite numbers, so no image of it is "
                "written; check the input image and the model, or compute with a higher precision."
            )
        return self.mappings[channel].to_stored(plane) if self.mappings else np.asarray(plane, self.dtype)


def default_colours(channel_names: Sequence[str]) -> tuple[str, ...]:
    """Return one colour for each channel: grey for transmitted light, the others in turn."""
    colours = cycle(COLOURS)
    return tuple(GREY if name == TRANSMITTED_LIGHT else next(colours) for name in channel_names)


def planes_of(channels: "Iterable[np.ndarray | h5py.Dataset]") -> Iterator[np.ndarray]:
    """Yield the planes of volumes, (Z, Y, X) each, one volume after the other; of an HDF5 dataset, read one by one."""
    return (channel[z] for channel in channels for z in range(channel.shape[0]))


def stored_planes(planes: Iterable[np.ndarray], content: OmeContent) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Yield time point, channel, Z and the plane as it is stored.

    Raises
    ------
    ValueError
        There are more or fewer planes than the content has, or one has another shape.
    InputError
        A plane has values that are not finite.
    """
    num_z, num_c = content.shape[2], content.shape[1]
    number = 0
    for plane in planes:
        if number == content.num_planes:
            raise ValueError(f"there are more than the {content.num_planes} planes of the image")
        t, c, z = number // (num_z * num_c), number // num_z % num_c, number % num_z
        yield t, c, z, content.to_stored(plane, c)
        number += 1
    if number < content.num_planes:
        raise ValueError(f"there are {number} planes, but the image has {content.num_planes}")


def pyramid(plane: np.ndarray, num_levels: int) -> Iterator[np.ndarray]:
    """Yield a plane and its smaller levels, each half as large in Y and X as the one before."""
    yield plane
    for _ in range(num_levels - 1):
        plane = halve(plane)
        yield plane


def halve(plane: np.ndarray) -> np.ndarray:
    """Average squares of 2 x 2 pixels; at the far edge of an odd size, the pixels that there are. Keeps the type."""
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    total = even[::2, ::2].astype(np.float32)
    for part in (even[::2, 1::2], even[1::2, ::2], even[1::2, 1::2]):
        total += part
    total /= 4
    return total if plane.dtype.kind == "f" else np.rint(total, out=total).astype(plane.dtype)


@contextmanager
def naming_a_full_disk(path: str | Path) -> Iterator[None]:
    """Turn the error of a full disk into an `InputError` that names the file and its disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        folder = Path(path).absolute().parent
        raise InputError(
            f"{path} can't be written, because the disk of {folder} is full or your quota there is used up "
            f"({error.strerror}); free some space or choose a folder on another disk."
        ) from None
