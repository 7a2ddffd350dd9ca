"""Normalise and resize a raw image, exactly as published (RepMode, section 4.1).

The published resize is `scipy.ndimage.zoom`, cubic, mode nearest. It is linear and separable, so zooming an
identity matrix gives a matrix for each axis that does the same by a matrix product, many times faster.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import h5py
import numpy as np
from scipy import ndimage

from ssp_model.config.schema import ZYX
from ssp_model.errors import InputError
from ssp_model.images.reader import Image
from ssp_model.models.model_file import ModelInfo

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of a raw image, in its own units (counts)."""

    mean: float
    std: float


def statistics(raw: np.ndarray) -> Statistics:
    """Mean and standard deviation of a raw image, (Z, Y, X), taken in float64.

    Raises
    ------
    InputError
        The image is constant, or holds a value that is not a number.
    """
    if raw.dtype.kind == "f" and not all(np.isfinite(plane).all() for plane in raw):
        raise InputError("holds values that are not finite numbers")
    # plane by plane: a copy of the whole in float64 may not fit in memory
    mean = sum(float(plane.sum(dtype=np.float64)) for plane in raw) / raw.size
    variance = sum(float(np.square(np.subtract(plane, mean, dtype=np.float64)).sum()) for plane in raw) / raw.size
    if variance == 0:
        raise InputError(f"is constant (every voxel is {raw.flat[0]:g}), so it can't be standardised")
    return Statistics(mean, variance**0.5)


def standardise(raw: np.ndarray, of: Statistics) -> Iterator[np.ndarray]:
    """The planes of a raw image, (Z, Y, X), less its mean and divided by its standard deviation, float32."""
    for plane in raw:
        # subtract in float64: counts of 20,000 +- 100 would lose digits in float32
        yield (np.subtract(plane, of.mean, dtype=np.float64) / of.std).astype(np.float32)


def normalise(raw: np.ndarray) -> tuple[np.ndarray, Statistics]:
    """Subtract the mean and divide by the standard deviation.

    Parameters
    ----------
    raw : ndarray
        One channel, (Z, Y, X), any real type.

    Returns
    -------
    tuple
        The standardised image, float32, and the statistics removed.

    Raises
    ------
    InputError
        The image is constant, or holds a value that is not a number.
    """
    removed = statistics(raw)
    standardised = np.empty(raw.shape, np.float32)
    for out, plane in zip(standardised, standardise(raw, removed), strict=True):
        out[:] = plane
    return standardised, removed


@lru_cache(maxsize=32)
def resize_matrix(size: int, factor: float) -> np.ndarray | None:
    """Matrix (new size, size), float32, that resizes an axis as `scipy.ndimage.zoom` does; None changes nothing."""
    if factor == 1:
        return None
    identity = np.eye(size)
    return ndimage.zoom(identity, (factor, 1), mode="nearest").astype(np.float32)


def resize(image: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """Resize by `factors`; equal to `scipy.ndimage.zoom(image, factors, mode="nearest")` up to float32 rounding.

    Parameters
    ----------
    image : ndarray
        (Z, Y, X), float32, about zero mean and unit standard deviation.
    factors : sequence of float
        Z, Y, X.
    """
    resized = np.stack(list(resize_planes(image, factors)))
    m_z = resize_matrix(len(image), factors[0])
    return resized if m_z is None else np.tensordot(m_z, resized, axes=1)


def resize_planes(planes: Iterable[np.ndarray], factors: Sequence[float]) -> Iterator[np.ndarray]:
    """Resize planes, (Y, X), float32, along Y and X by the last two of `factors`."""
    for plane in planes:
        yield _product(resize_matrix(plane.shape[0], factors[1]), plane, resize_matrix(plane.shape[1], factors[2]))


def _product(m_y: np.ndarray | None, plane: np.ndarray, m_x: np.ndarray | None) -> np.ndarray:
    if m_x is not None:
        plane = plane @ m_x.T
    return plane if m_y is None else m_y @ plane


def resize_factors(
    pixel_size_um: Sequence[float | None], scale: ZYX | None = None, voxel_size_um: ZYX | None = None
) -> tuple[float, float, float]:
    """Resize factors of an image (Z, Y, X): `scale` as given, or from its pixel sizes and the `voxel_size_um` wanted.

    Raises
    ------
    InputError
        They follow from pixel sizes, and the file has none for an axis.
    """
    if scale is not None:
        return scale
    assert voxel_size_um is not None
    unknown = [axis for axis, size in zip("ZYX", pixel_size_um, strict=True) if not size]
    if unknown:
        raise InputError(
            f"has no pixel size along {', '.join(unknown)}, which preprocess.voxel_size_um needs "
            "(give preprocess.scale instead)"
        )
    z, y, x = (size / wanted for size, wanted in zip(pixel_size_um, voxel_size_um, strict=True) if size)
    return z, y, x


STRIP = 2**24
"""Voxels that are resized along Z at once."""


def prepare(image: Image, channel: int, factors: tuple[float, float, float], file: h5py.File) -> h5py.Dataset:
    """Standardise and resize a channel, into a dataset of a file; as for training."""
    raw = image.read(channel)
    removed = statistics(raw)
    depth = len(raw)
    planes = resize_planes(standardise(raw, removed), factors)
    first = next(planes)
    prepared = file.create_dataset("planes", (depth, *first.shape), np.float32)
    prepared[0] = first
    for z, plane in enumerate(planes, start=1):
        prepared[z] = plane
    del raw
    m_z = resize_matrix(depth, factors[0])
    if m_z is None:
        return prepared
    _, height, width = prepared.shape
    resized = file.create_dataset("signal", (len(m_z), height, width), np.float32)
    rows = max(STRIP // (depth * width), 1)
    for y in range(0, height, rows):
        resized[:, y : y + rows] = np.tensordot(m_z, prepared[:, y : y + rows], axes=1)
    return resized


def factors_to_model(image: Image, info: ModelInfo) -> tuple[float, float, float]:
    """Resize factors (Z, Y, X) that bring an image to the voxel size of a model's training images."""
    if info.voxel_size_um and all(image.pixel_size_um):
        return resize_factors(image.pixel_size_um, voxel_size_um=info.voxel_size_um)
    scale = info.preprocess.get("scale")
    if not scale:
        raise InputError("has no pixel sizes, by which it could be brought to the model's voxel size")
    logger.warning("pixel sizes are not known: the image is resized by %s, as the training images were", scale)
    return resize_factors(image.pixel_size_um, scale=tuple(scale))
