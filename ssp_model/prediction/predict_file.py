"""Prediction in a microscope file, treated as the model's training images were.

The image is prepared plane by plane into a temporary file beside the output. Strips of it are read from there for each
structure, and predictions go there too: beyond the raw channel, memory does not depend on the size of the image.
"""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from ssp_model.config.schema import ZYX
from ssp_model.data.preprocess import Resizing, to_model_voxels
from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import write_ome_tiff
from ssp_model.images.reader import Image, open_file
from ssp_model.log import progress
from ssp_model.models.model_file import ModelInfo
from ssp_model.prediction.predictor import Predictor

logger = logging.getLogger(__name__)


def predict_file(
    predictor: Predictor, image_path: str | Path, channel: int, structures: Sequence[str], output: str | Path
) -> None:
    """Predict structures in a microscope file.

    Parameters
    ----------
    predictor : Predictor
        The model.
    image_path : path
        Image in any format that BioIO reads.
    channel : int
        The transmitted-light channel, counted from 0.
    structures : sequence of str
        What to predict; all that the model knows if empty.
    output : path
        OME-TIFF to write: transmitted light and a channel a structure, at the model's voxel size, standardised.

    Raises
    ------
    InputError
        The image can't be read or used, or the model does not know a structure.
    """
    info = predictor.info
    structures = list(dict.fromkeys(structures)) or info.structures
    for structure in structures:
        info.task(structure)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=output.parent, prefix=".part.") as folder,
        h5py.File(Path(folder) / "volumes.h5", "w") as file,
    ):

        def place(name: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            return file.create_dataset(name, shape, dtype)

        image = open_file(image_path).image()
        signal, _ = to_model_voxels(image, channel, factors_to_model(image, info), place)
        channels = [signal]
        voxels = float(np.prod(signal.shape)) * len(structures)
        with progress(f"predict {image_path}", voxels, "voxels") as advance:
            for structure in structures:
                predicted = place(f"prediction/{structure}", signal.shape, np.dtype(np.float32))
                channels.append(predictor.predict(signal, structure, out=predicted, advance=advance))
        write_ome_tiff(output, channels, ["transmitted light", *structures], info.voxel_size_um)


def factors_to_model(image: Image, info: ModelInfo) -> ZYX:
    """Return the resize factors (Z, Y, X) that bring an image to the voxel size of a model's training images.

    An axis whose size the image does not give is resized as the training images were; a warning tells of it.

    Raises
    ------
    InputError
        A size is needed and the image does not give it, or the size that it gives is not plausible.
    """
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
