"""What a microscope file says of the images in it: axes, channels, pixel sizes.

The readers of the formats fill in a `SceneInfo`; a size that is not plausible is kept as a doubt, never used.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

LEAST_UM, MOST_UM = 0.01, 10.0
"""Pixel sizes of light microscopes, with room to spare."""

MOST_ANISOTROPIC = 20.0
"""Largest plausible ratio of two pixel sizes of an image."""

SAME_VOXEL_SIZE = 0.02
"""Voxel sizes that differ by less than this share are the same: below what a network notices."""

UM = {
    "m": 1e6,
    "dm": 1e5,
    "cm": 1e4,
    "mm": 1e3,
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "meter": 1e6,
    "metre": 1e6,
    "pm": 1e-6,
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "å": 1e-4,
    "in": 25400.0,
    "inch": 25400.0,
}
"""Length of a unit in um, by the names that files use."""


class Voxels(Protocol):
    """An array, or a dataset of an HDF5 file: (Z, Y, X)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes along Z, Y and X."""

    def __getitem__(self, key: Any) -> np.ndarray: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...


Sizes = tuple[float | None, float | None, float | None]
UNKNOWN: Sizes = (None, None, None)


def unit_um(unit: str) -> float | None:
    """Return the length of a unit in um; None if it is not a length, such as `pixel`."""
    # there are two signs that look like a Greek mu
    name = unit.strip().replace("\u03bc", "\u00b5").replace("\\u00B5", "\u00b5")
    return UM.get(name, UM.get(name.lower()))


@dataclass(frozen=True)
class PixelSize:
    """The pixel size of an image, and where it comes from.

    Attributes
    ----------
    um : tuple of float or None
        Z, Y, X; None for an axis that the file gives no size for.
    source : str
        Where it was found, such as `OME metadata`.
    doubts : tuple of str
        Why a size that the file gives is not used, one sentence part an axis.
    """

    um: Sizes = UNKNOWN
    source: str = "none"
    doubts: tuple[str, ...] = ()


def pixel_size(
    values: Sequence[float | None], units: Sequence[str], source: str, shape_zyx: Sequence[int]
) -> PixelSize:
    """Return a pixel size from what a file says.

    Parameters
    ----------
    values : sequence of float or None
        Z, Y, X, in `units`.
    units : sequence of str
        One an axis.
    source : str
        Where they were found.
    shape_zyx : sequence of int
        An axis of a single voxel needs no size.
    """
    sizes: list[float | None] = []
    doubts: list[str] = []
    for axis, value, unit, count in zip("ZYX", values, units, shape_zyx, strict=True):
        length = None if value is None else unit_um(unit)
        if value is None or length is None:
            # "pixel" and the like are what programs write that know no size
            sizes.append(None)
            continue
        um = value * length
        if math.isfinite(um) and LEAST_UM <= um <= MOST_UM:
            sizes.append(um)
            continue
        sizes.append(None)
        if axis != "Z" or count > 1:
            doubts.append(f"{_length_text(um)} along {axis}")
    known = [size for size in sizes if size is not None]
    if known and max(known) / min(known) > MOST_ANISOTROPIC:
        doubts.append(f"a size {max(known) / min(known):.0f} times larger along one axis than along another")
        sizes = [None, None, None]
    z, y, x = sizes
    return PixelSize((z, y, x), source if known or doubts else "none", tuple(doubts))


def _length_text(um: float) -> str:
    if math.isnan(um):
        return "no number"
    if math.isinf(um):
        return "an infinite size"
    return f"{um:,.0f} um" if 1000 <= abs(um) < 1e9 else f"{um:.4g} um"


@dataclass(frozen=True)
class SceneInfo:
    """One image of a file: a scene, a series or a field, at all its time points.

    Attributes
    ----------
    name : str
        As the file calls it; empty if it has no name.
    num_times : int
    channel_names : tuple of str
    shape_zyx : tuple of int
        Voxels of a channel.
    dtype : dtype
    pixel_size : PixelSize
    compression : str
        Empty if there is none.
    colour_channels : frozenset of int
        Channels that hold colours (red, green, blue) and no intensities.
    notes : tuple of str
        What a user must know of it: how it was understood, and what of it is not read.
    """

    name: str
    num_times: int
    channel_names: tuple[str, ...]
    shape_zyx: tuple[int, int, int]
    dtype: np.dtype
    pixel_size: PixelSize = field(default_factory=PixelSize)
    compression: str = ""
    colour_channels: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def shape_text(self) -> str:
        """Sizes for a message: `3 x 2 x 24 x 96 x 101 (time, channel, Z, Y, X)`."""
        sizes = (self.num_times, len(self.channel_names), *self.shape_zyx)
        return f"{' x '.join(map(str, sizes))} (time, channel, Z, Y, X)"


def channel_names(found: Sequence[str], num_channels: int) -> tuple[str, ...]:
    """Return a name for each channel: that of the file, or one made up from the number."""
    return tuple(found[i] if i < len(found) and found[i] else f"channel {i}" for i in range(num_channels))


def to_number(value: Any) -> float:
    """Return a number of a file's metadata; NaN, which is no plausible size, for what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def own_name(channel: int, name: str) -> str:
    """Return a channel's name; an empty text if a reader made it up from the number."""
    return "" if name in (f"channel {channel}", str(channel)) else name


def channel_title(channel: int, name: str) -> str:
    """Return what to call a channel in a message: its number, and its name if it has one."""
    return f"channel {channel} ({name})" if own_name(channel, name) else f"channel {channel}"


def listed_channels(names: Sequence[str]) -> str:
    """Return channels for a message: `0 Bright_100, 1 DNA`, or `channel 0, channel 1` without names."""
    return ", ".join(f"{i} {name}" if own_name(i, name) else channel_title(i, name) for i, name in enumerate(names))


def scene_title(number: int, names: Mapping[int, str] | Sequence[str]) -> str:
    """Return what to call a scene in a message: its number, and its name if it has one."""
    return f"{number} ({names[number]})" if names[number] else str(number)
