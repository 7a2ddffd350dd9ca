"""Bring a raw image to the model's voxel size, exactly as published: standardise, then resize (RepMode, section 4.1).

The published resize is `scipy.ndimage.zoom`, cubic, mode nearest. It is linear and separable, so zooming an
identity matrix gives a matrix for each axis that does the same by a matrix product, many times faster.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import psutil
from scipy import ndimage

from ssp_model.config.schema import ZYX
from ssp_model.errors import InputError
from ssp_model.images.description import Voxels
from ssp_model.images.reader import Image, Place, in_memory

logger = logging.getLogger(__name__)

STRIP = 2**24
"""Voxels of a file that are resized along Z at once."""

MOST_OF_MEMORY = 4
"""A resized volume may be this many times as large as the machine's memory: it may lie in a file."""

OUTLIER = 0.05
"""Share of a channel's variance from which on hot pixels are told of, in an image of many voxels."""

FAR = 10
"""Standard deviations of all pixels that a hot pixel is away from the mean, at least."""

MANY_VOXELS = 10_000


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
            They follow from pixel sizes and the image has none for an axis, or the resized volume would be far too
            large or would have no voxel.
        """
        if self.scale is not None:
            factors = self.scale
        else:
            assert self.voxel_size_um is not None
            refuse_unknown_sizes(image)
            z, y, x = (
                size / wanted for size, wanted in zip(image.pixel_size_um, self.voxel_size_um, strict=True) if size
            )
            factors = z, y, x
        check_resized(image, factors)
        return factors


def refuse_unknown_sizes(image: Image) -> None:
    """Refuse an image that has no pixel size along an axis, or one that no microscope has."""
    unknown = [axis for axis, size in zip("ZYX", image.pixel_size_um, strict=True) if not size]
    if unknown:
        doubts = image.info.pixel_size.doubts
        found = f" (its {image.info.pixel_size.source} say {', '.join(doubts)})" if doubts else ""
        raise InputError(
            f"{image.name} has no usable pixel size along {', '.join(unknown)}{found}, which is needed to bring it to "
            "the model's voxel size; give its voxel size, or save it with its pixel sizes."
        )


def resized_shape(shape: Sequence[int], factors: Sequence[float]) -> tuple[int, int, int]:
    """Return the shape (Z, Y, X) of a resized volume, as `scipy.ndimage.zoom` rounds it."""
    z, y, x = (round(size * factor) for size, factor in zip(shape, factors, strict=True))
    return z, y, x


def check_resized(image: Image, factors: Sequence[float]) -> None:
    """Refuse an image whose resized volume has no voxel, or is larger than any disk of this machine could bear.

    Raises
    ------
    InputError
        With both shapes.
    """
    shape = resized_shape(image.shape_zyx, factors)
    sizes = f"{_times(image.shape_zyx)} voxels would become {_times(shape)} at the model's voxel size"
    if min(shape) < 1:
        raise InputError(f"{image.name} is too small: {sizes}; give a larger image, or check its pixel sizes.")
    needed, memory = 4 * math.prod(shape), psutil.virtual_memory().total
    if needed > MOST_OF_MEMORY * memory:
        raise InputError(
            f"{image.name} is too large: {sizes} ({needed / 2**30:,.0f} GiB, {MOST_OF_MEMORY} times the memory of this "
            f"machine is {MOST_OF_MEMORY * memory / 2**30:,.0f} GiB); check its pixel sizes, or cut it into parts."
        )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(f"{size:,}" for size in shape)


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of a raw image, in its own units (counts)."""

    mean: float
    std: float


def to_model_voxels(
    image: Image, channel: int | str, factors: Sequence[float], place: Place = in_memory
) -> tuple[Voxels, Statistics]:
    """Read a channel, standardise it and resize it, plane by plane and then along Z.

    Besides what `place` makes, no more than a strip of the volume is in memory. Where tiles leave a gap, the volume is
    0, the mean of what was recorded.

    Parameters
    ----------
    image : Image
    channel : int or str
        Number, counted from 0, or name.
    factors : sequence of float
        Z, Y, X.
    place : callable
        Makes the places to write to: for the raw channel, for the volume, and for the planes if Z is resized.

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
    raw = image.read(channel, place)
    covered = image.covered(channel)
    removed = statistics(raw, image.channel_text(channel), covered)
    depth = raw.shape[0]
    m_z = resize_matrix(depth, factors[0])
    planes = resize_planes(standardise(raw, removed, covered), factors)
    first = next(planes)
    resized = place("volume" if m_z is None else "planes", (depth, *first.shape), first.dtype)
    resized[0] = first
    for z, plane in enumerate(planes, start=1):
        resized[z] = plane
    if m_z is None:
        return resized, removed
    del raw
    return resize_z(resized, m_z, place), removed


def resize_z(planes: Voxels, m_z: np.ndarray, place: Place) -> Voxels:
    """Resize a volume, (Z, Y, X), along Z by a matrix of `resize_matrix`; `place` makes the place to write to."""
    if isinstance(planes, np.ndarray):
        return np.tensordot(m_z, planes, axes=1)
    depth, height, width = planes.shape
    volume = place("volume", (len(m_z), height, width), planes[0].dtype)
    rows = max(STRIP // (depth * width), 1)
    for y in range(0, height, rows):
        volume[:, y : y + rows] = np.tensordot(m_z, planes[:, y : y + rows], axes=1)
    return volume


def statistics(raw: Voxels, name: str, covered: np.ndarray | None = None) -> Statistics:
    """Return mean and standard deviation of a raw channel, (Z, Y, X), taken in float64.

    Hot pixels (of the camera, in all planes, or of a cosmic ray in one) that weigh more than they should are told of.

    Parameters
    ----------
    raw : array or HDF5 dataset
        One channel, any real type.
    name : str
        What the user calls it, for errors.
    covered : ndarray, optional
        Pixels of a plane that were recorded, (Y, X); all without.

    Raises
    ------
    InputError
        The channel is constant, holds a value that is not a number, or was recorded nowhere in all planes.
    """
    # plane by plane: a copy of the whole in float64 may not fit in memory
    num_voxels = raw.shape[0] * (math.prod(raw.shape[1:]) if covered is None else int(covered.sum()))
    if not num_voxels:
        raise InputError(f"{name} has no pixel that was recorded in all its planes; leave the image out.")
    lost, total, most = 0, 0.0, -math.inf
    for plane in _recorded(raw, covered):
        if plane.dtype.kind == "f":
            lost += plane.size - int(np.isfinite(plane).sum())
        total += float(plane.sum(dtype=np.float64))
        most = max(most, float(plane.max()))
    if lost:
        raise InputError(
            f"{name} holds {lost:,} voxels ({lost / num_voxels:.1%}) that are not finite numbers, such as the border "
            "of an image that was moved; crop them away."
        )
    mean = total / num_voxels
    squares = 0.0
    of_pixel = np.zeros(raw.shape[1:])
    recorded = np.s_[:] if covered is None else covered
    for plane in _recorded(raw, covered):
        square = np.square(np.subtract(plane, mean, dtype=np.float64))
        squares += float(square.sum())
        of_pixel[recorded] += square
    if squares == 0:
        raise InputError(f"{name} is constant (every voxel is {most:g}), so it can't be standardised.")
    if num_voxels >= MANY_VOXELS and (share := float(of_pixel[_hot(of_pixel)].sum()) / squares) > OUTLIER:
        logger.warning(
            "%s has hot pixels, of up to %g, that make up %.0f%% of its variance, so all others are scaled down; take "
            "them out of the image",
            name, most, 100 * share,
        )  # fmt: skip
    return Statistics(mean, (squares / num_voxels) ** 0.5)


def _hot(squares: np.ndarray) -> np.ndarray:
    """Whether pixels, (Y, X), are far from the mean, and twice as far as all their neighbours: no lens does that."""
    around = np.ones((3, 3), bool)
    around[1, 1] = False
    neighbours = ndimage.maximum_filter(squares, footprint=around, mode="constant")
    return (squares > 4 * neighbours) & (squares > FAR**2 * squares.mean())


def _recorded(raw: Voxels, covered: np.ndarray | None) -> Iterator[np.ndarray]:
    """Yield the voxels of each plane that were recorded."""
    for z in range(raw.shape[0]):
        yield raw[z] if covered is None else raw[z][covered]


def standardise(raw: Voxels, of: Statistics, covered: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the planes of a raw channel, (Z, Y, X), less its mean and divided by its standard deviation, float32."""
    for z in range(raw.shape[0]):
        # subtract in float64: counts of 20,000 +- 100 would lose digits in float32
        plane = (np.subtract(raw[z], of.mean, dtype=np.float64) / of.std).astype(np.float32)
        yield plane if covered is None else np.where(covered, plane, np.float32(0))


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
