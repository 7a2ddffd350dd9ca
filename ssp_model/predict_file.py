"""Prediction in a microscope file, treated as the model's training images were."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssp_model.checkpoint import ModelInfo, load_model
from ssp_model.errors import InputError
from ssp_model.images import Image
from ssp_model.log import progress
from ssp_model.ome_tiff import write_ome_tiff
from ssp_model.predict import predict_volume
from ssp_model.preprocess import normalise, resize, resize_factors

logger = logging.getLogger(__name__)


def predict_file(
    model_path: str | Path, image_path: str | Path, channel: int, structures: Sequence[str], output: str | Path
) -> None:
    """Predict structures in a microscope file.

    Parameters
    ----------
    model_path, image_path : path
        Model file; image in any format that BioIO reads.
    channel : int
        The transmitted-light channel, counted from 0.
    structures : sequence of str
        What to predict; all the model knows if empty.
    output : path
        OME-TIFF to write: transmitted light and a channel a structure, at the model's voxel size, standardised.

    Raises
    ------
    InputError
        The image can't be read or used, or the model does not know a structure.
    """
    model, info = load_model(model_path)
    tasks = {structure: info.task(structure) for structure in structures or info.structures}
    try:
        image = Image(image_path)
        factors = factors_to_model(image, info)
        signal = resize(normalise(image.read(channel))[0], factors)
    except InputError as error:
        raise InputError(f"{image_path} {error}.") from None
    overlap = info.config.get("predict", {}).get("overlap", 0.5)  # type: ignore[attr-defined]
    channels = [signal]
    with progress("predict", len(tasks), "structures") as advance:
        for task in tasks.values():
            channels.append(predict_volume(model.specialise(task), signal, info.patch, overlap))
            advance(1)
    write_ome_tiff(output, np.stack(channels), ["transmitted light", *tasks], info.voxel_size_um)


def factors_to_model(image: Image, info: ModelInfo) -> tuple[float, float, float]:
    """Resize factors (Z, Y, X) that bring an image to the voxel size of a model's training images."""
    if info.voxel_size_um and all(image.pixel_size_um):
        return resize_factors(image.pixel_size_um, voxel_size_um=info.voxel_size_um)
    scale = info.preprocess.get("scale")
    if not scale:
        raise InputError("has no pixel sizes, by which it could be brought to the model's voxel size")
    logger.warning("pixel sizes are not known: the image is resized by %s, as the training images were", scale)
    return resize_factors(image.pixel_size_um, scale=tuple(scale))  # type: ignore[arg-type]
