"""From an image's own grid to the model's and back."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from ssp_model.config.schema import ZYX
from ssp_model.data.preprocess import Resizing, resize_matrix, resize_planes, resize_z
from ssp_model.errors import InputError
from ssp_model.images.description import Sizes, Voxels
from ssp_model.images.reader import Image, Place, in_memory
from ssp_model.models.model_file import ModelInfo

logger = logging.getLogger(__name__)


def factors_to_model(image: Image, info: ModelInfo) -> ZYX:
    """Return the resize factors (Z, Y, X) that bring an image to the voxel size of a model's training images.

    An axis whose size the image does not give is resized as the training images were; a warning tells of it, and of an
    image that is a single plane.

    Raises
    ------
    InputError
        A size is needed and the image does not give it, or the size that it gives is not plausible.
    """
    if image.shape_zyx[0] == 1:
        logger.warning(
            "%s is a single plane, but the model has learnt from stacks: do not trust its prediction", image.name
        )
    unknown = [axis for axis, size in zip("ZYX", image.pixel_size_um, strict=True) if not size]
    scale = info.preprocess.get("scale")
    if info.voxel_size_um and (not unknown or image.info.pixel_size.doubts or not scale):
        return Resizing(voxel_size_um=info.voxel_size_um).factors(image)
    if not scale:
        raise InputError(
            "The model was trained on images without pixel sizes and without fixed factors, so no image can be brought "
            "to its voxel size; train it with preprocess.scale or with images that have pixel sizes."
        )
    sizes = info.voxel_size_um or (None,) * 3
    z, y, x = (
        size / wanted if size and wanted else factor
        for size, wanted, factor in zip(image.pixel_size_um, sizes, scale, strict=True)
    )
    if unknown:
        logger.warning(
            "%s gives no pixel size along %s: it is resized there by the factor of the training images",
            image.name, ", ".join(unknown),
        )  # fmt: skip
    return Resizing(scale=(z, y, x)).factors(image)


def sizes_on_model_grid(sizes_um: Sizes, factors: Sequence[float], info: ModelInfo) -> Sizes:
    """Return the voxel sizes, Z, Y, X, of an image that was resized by `factors`; None where they are not known."""
    of_model = info.voxel_size_um or (None,) * 3
    z, y, x = (
        size and (wanted or size / factor) for size, factor, wanted in zip(sizes_um, factors, of_model, strict=True)
    )
    return z, y, x


def on_image_grid(volume: Voxels, shape_zyx: Sequence[int], place: Place = in_memory) -> Iterator[np.ndarray]:
    """Yield the planes, (Y, X), of a volume that is brought back to the grid of the image it was made from.

    It is the cubic resize of the way there, with the factors that give exactly the image's shape.

    Parameters
    ----------
    volume : array or dataset
        (Z, Y, X) at the model's voxel size.
    shape_zyx : sequence of int
        Shape of the image.
    place : callable
        Makes the place for the volume resized along Z.
    """
    z, y, x = (wanted / size for wanted, size in zip(shape_zyx, volume.shape, strict=True))
    m_z = resize_matrix(volume.shape[0], z)
    if m_z is not None:
        volume = resize_z(volume, m_z, place)
    yield from resize_planes(planes_of(volume), (z, y, x))


def planes_of(volume: Voxels) -> Iterator[np.ndarray]:
    """Yield the planes, (Y, X), of a volume one by one."""
    return (volume[z] for z in range(volume.shape[0]))
