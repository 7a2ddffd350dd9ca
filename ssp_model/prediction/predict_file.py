"""Prediction in a microscope file, treated as the model's training images were.

The image is prepared plane by plane into a temporary file beside the output, from which strips of it are read for each
structure, and predictions go there too: beyond the raw channel, memory does not depend on the size of the image.
"""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch

from ssp_model.config.schema import PredictConfig
from ssp_model.data.preprocess import factors_to_model, prepare
from ssp_model.errors import InputError
from ssp_model.hardware import make_fabric
from ssp_model.images.ome_tiff import write_ome_tiff
from ssp_model.images.reader import Image
from ssp_model.log import progress
from ssp_model.models.model_file import load_model
from ssp_model.prediction.sliding_window import Windows, predict_volume, specialised

logger = logging.getLogger(__name__)


def predict_file(
    model_path: str | Path,
    image_path: str | Path,
    channel: int,
    structures: Sequence[str],
    output: str | Path,
    config: PredictConfig,
    precision: str = "auto",
    threads: int = 1,
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
    config : PredictConfig
        The sliding window.
    precision : str
        Arithmetic, as `train.precision`.
    threads : int
        CPU threads.

    Raises
    ------
    InputError
        The image can't be read or used, or the model does not know a structure.
    """
    torch.set_num_threads(threads)
    fabric = make_fabric(precision)
    model, info = load_model(model_path, fabric.device)
    tasks = {structure: info.task(structure) for structure in structures or info.structures}
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=output.parent, prefix=".part.") as folder,
        h5py.File(Path(folder) / "volumes.h5", "w") as file,
    ):
        try:
            image = Image(image_path)
            signal = prepare(image, channel, factors_to_model(image, info), file)
        except InputError as error:
            raise InputError(f"{image_path} {error}.") from None
        channels = [signal]
        voxels = float(np.prod(signal.shape)) * len(tasks)
        windows = Windows.of(info.patch, config)
        with progress(f"predict {image_path}", voxels, "voxels") as advance:
            for structure, task in tasks.items():
                network = specialised(model, task)
                predicted = file.create_dataset(f"prediction/{structure}", signal.shape, np.float32)
                predict_volume(network, signal, windows, fabric.autocast, predicted, advance)
                channels.append(predicted)
        write_ome_tiff(output, channels, ["transmitted light", *tasks], info.voxel_size_um)
