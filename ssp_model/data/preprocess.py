"""Bring a raw image to the model's voxel size, exactly as published: standardise, then resize (RepMode, section 4.1).

The published resize is `scipy.ndimage.zoom`, cubic, mode nearest. It is linear and separable, so zooming an
identity matrix gives a matrix for each axis that does the same by a matrix product, many times faster.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ssp_model.config.schema import ZYX
from ssp_model.data.dataset import Voxels
from ssp_model.errors import InputError
from ssp_model.images.reader import Image

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)

STRIP = 2**24
"""Voxels of a file that are resized along Z at once."""

Place = Callable[[str, tuple[int, int, int]], Voxels]
"""Makes the place for a volume of some name and shape, float32: an array, or a dataset of a file."""


@dataclass(frozen=True)
class Resizing:
    """How images are brought to the model's voxel size: by fixed factors or to a voxel size; the other is None.

    Attributes
    ----------
    scale : tuple of float, or None
        Factors, Z, Y, X.
    voxel_size_um : tuple of float, or None
        Z, Y, X.
    """

    scale: ZYX | None = None
    voxel_size_um: ZYX | None = None

    def factors(self, image: Image) -> ZYX:
        """Return the factors (Z, Y, X) for an image.

        Raises
        ------
        InputError
            They follow from pixel sizes, and the image has none for an axis.
        """
        if self.scale is not None:
            return self.scale
        assert self.voxel_size_um is not None
        unknown = [axis for axis, size in zip("ZYX", image.pixel_size_um, strict=True) if not size]
        if unknown:
            raise InputError(
                f"{image.name} has no pixel size along {', '.join(unknown)}, which preprocess.voxel_size_um needs; "
                "give preprocess.scale instead."
            )
        z, y, x = (size / wanted for size, wanted in zip(image.pixel_size_um, self.voxel_size_um, strict=True) if size)
        return z, y, x


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of a raw image, in its own units (counts)."""

    mean: float
    std: float


def in_memory(name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Make a place for a volume in memory."""
    return np.empty(shape, np.float32)


def to_model_voxels(
    image: Image, channel: int, factors: Sequence[float], place: Place = in_memory
) -> tuple[Voxels, Statistics]:
    """Read a channel, standardise it and resize it, plane by plane and then along Z.

    Besides the raw channel and what `place` makes, no more than a strip of the volume is in memory.

    Parameters
    ----------
    image : Image
    channel : int
        Counted from 0.
    factors : sequence of float
        Z, Y, X.
    place : callable
        Makes the places to write to: for the volume, and for one with the planes as they were, if Z is resized.

    Returns
    -------
    tuple
        The volume, (Z, Y, X), float32; it equals `scipy.ndimage.zoom(standardised, factors, mode="nearest")` up to
        float32 rounding. And the mean and standard deviation that were removed.

    Raises
    ------
    InputError
        The image has no such channel, it can't be decoded, is constant, or holds a value that is not a number.
    """
    raw = image.read(channel)
    removed = statistics(raw, image.channel_text(channel))
    depth = len(raw)
    m_z = resize_matrix(depth, factors[0])
    planes = resize_planes(standardise(raw, removed), factors)
    first = next(planes)
    resized = place("volume" if m_z is None else "planes", (depth, *first.shape))
    resized[0] = first
    for z, plane in enumerate(planes, start=1):
        resized[z] = plane
    if m_z is None:
        return resized, removed
    del raw
    return _resize_z(resized, m_z, place), removed


def _resize_z(planes: Voxels, m_z: np.ndarray, place: Place) -> Voxels:
    if isinstance(planes, np.ndarray):
        return np.tensordot(m_z, planes, axes=1)
    depth, height, width = planes.shape
    volume = place("volume", (len(m_z), height, width))
    rows = max(STRIP // (depth * width), 1)
    for y in range(0, height, rows):
        volume[:, y : y + rows] = np.tensordot(m_z, planes[:, y : y + rows], axes=1)
    return volume


def statistics(raw: np.ndarray, name: str) -> Statistics:
    """Return mean and standard deviation of a raw channel, (Z, Y, X), taken in float64.

    Parameters
    ----------
    raw : ndarray
        One channel, any real type.
    name : str
        What the user calls it, for errors.

    Raises
    ------
    InputError
        The channel is constant, or holds a value that is not a number.
    """
    if raw.dtype.kind == "f" and not all(np.isfinite(plane).all() for plane in raw):
        raise InputError(f"{name} holds values that are not finite numbers.")
    # plane by plane: a copy of the whole in float64 may not fit in memory
    mean = sum(float(plane.sum(dtype=np.float64)) for plane in raw) / raw.size
    variance = sum(float(np.square(np.subtract(plane, mean, dtype=np.float64)).sum()) for plane in raw) / raw.size
    if variance == 0:
        raise InputError(f"{name} is constant (every voxel is {raw.flat[0]:g}), so it can't be standardised.")
    return Statistics(mean, variance**0.5)


def standardise(raw: np.ndarray, of: Statistics) -> Iterator[np.ndarray]:
    """Yield the planes of a raw channel, (Z, Y, X), less its mean and divided by its standard deviation, float32."""
    for plane in raw:
        # subtract in float64: counts of 20,000 +- 100 would lose digits in float32
        yield (np.subtract(plane, of.mean, dtype=np.float64) / of.std).astype(np.float32)


@lru_cache(maxsize=32)
def resize_matrix(size: int, factor: float) -> np.ndarray | None:
    """Return the matrix (new size, size), float32, that resizes an axis as `scipy.ndimage.zoom` does; None if by 1."""
    if factor == 1:
        return None
    identity = np.eye(size)
    return ndimage.zoom(identity, (factor, 1), mode="nearest").astype(np.float32)


def resize_planes(planes: Iterable[np.ndarray], factors: Sequence[float]) -> Iterator[np.ndarray]:
    """Resize planes, (Y, X), float32, along Y and X by the last two of `factors`."""
    for plane in planes:
        yield _product(resize_matrix(plane.shape[0], factors[1]), plane, resize_matrix(plane.shape[1], factors[2]))


def _product(m_y: np.ndarray | None, plane: np.ndarray, m_x: np.ndarray | None) -> np.ndarray:
    if m_x is not None:
        plane = plane @ m_x.T
    return plane if m_y is None else m_y @ plane
