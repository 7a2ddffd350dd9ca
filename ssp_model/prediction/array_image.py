"""An array as an image, so that it is checked and prepared as the images of files are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ssp_model.errors import InputError
from ssp_model.images.description import SceneInfo
from ssp_model.images.reader import Image, ImageFile, open_file

NAME = "the array"


@contextmanager
def opened_image(
    image: np.ndarray | str | Path | Image, voxel_size_um: Sequence[float] | None = None
) -> Iterator[Image]:
    """Open what a user may give as an image: an array, a path or an image.

    Parameters
    ----------
    image : array, path or Image
        An array is (Z, Y, X).
    voxel_size_um : sequence of float, optional
        Z, Y, X, of an array, or in place of what a file says.

    Raises
    ------
    InputError
        It can't be read, or is not three-dimensional.
    """
    if isinstance(image, Image):
        if voxel_size_um is not None:
            raise InputError(f"{image.name} has a voxel size already; give voxel_size_um where you open the image.")
        yield image
    elif isinstance(image, str | Path):
        with open_file(image) as file:
            yield file.image(voxel_size_um=voxel_size_um)
    else:
        voxels = np.asarray(image)
        if voxels.ndim != 3 or voxels.size == 0:
            raise InputError(f"{NAME} has the shape {voxels.shape} but should be (Z, Y, X), with at least one voxel.")
        yield ImageFile(Path(NAME), NAME, _ArrayFormat(voxels)).image(voxel_size_um=voxel_size_um)


class _ArrayFormat:
    """A "file" of one channel, (Z, Y, X), that is in memory."""

    name = "array"

    def __init__(self, voxels: np.ndarray) -> None:
        z, y, x = voxels.shape
        self.scenes = [SceneInfo("", 1, ("signal",), (z, y, x), voxels.dtype)]
        self._voxels = voxels

    def plane(self, scene: int, time: int, channel: int, z: int) -> np.ndarray:
        return self._voxels[z]

    def missing(self, scene: int, time: int, channel: int) -> list[int]:
        return []

    def covered(self, scene: int, time: int, channel: int) -> None:
        return None

    def close(self) -> None:
        """Do nothing."""
