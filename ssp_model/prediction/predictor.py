"""A trained model, ready to predict whole images.

An image that is unlike the training images is predicted with a warning in the log.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import torch

from ssp_model.data.preprocess import to_model_voxels
from ssp_model.errors import InputError
from ssp_model.images.description import Voxels, listed_channels
from ssp_model.images.reader import Image
from ssp_model.prediction.array_image import opened_image
from ssp_model.prediction.grid import factors_to_model, on_image_grid
from ssp_model.prediction.likeness import Reference
from ssp_model.prediction.memory import SMALLEST_WINDOW, window_bytes
from ssp_model.prediction.signal_predictor import Advance, SignalPredictor
from ssp_model.prediction.sliding_window import Place, predict_windows

logger = logging.getLogger(__name__)

Grid = Literal["image", "model"]
"""Where a prediction's voxels lie: as those of the image, or at the voxel size of the model's training images."""


class Predictor(SignalPredictor):
    """Predict structures in whole images with the model of a file.

    Parameters, attributes and errors are those of `SignalPredictor`.
    """

    def predict(
        self,
        image: np.ndarray | str | Path | Image,
        structures: Sequence[str] | None = None,
        *,
        channel: int | str | None = None,
        voxel_size_um: Sequence[float] | None = None,
        grid: Grid = "image",
        advance: Advance | None = None,
    ) -> dict[str, np.ndarray]:
        """Predict structures in an image, in memory.

        Parameters
        ----------
        image : array, path or Image
            Raw intensities of the transmitted light, (Z, Y, X); or a microscope file, of which the first scene and
            time point are used; or any other image of a file that `ssp_model.images.reader.open_file` opens.
        structures : sequence of str, optional
            All that the model knows without.
        channel : int or str, optional
            Channel of the transmitted light: its number, from 0, or name. Needed if the image has several.
        voxel_size_um : sequence of float, optional
            Z, Y, X, of an array, or in place of what a file says. An array without it is resized as the training
            images were.
        grid : str
            `image` brings the predictions back to the image's own voxels, `model` leaves them at the model's.
        advance : callable, optional
            Told how many voxels more are done, at the model's voxel size.

        Returns
        -------
        dict
            By structure: predicted fluorescence, standardised, (Z, Y, X), float32.

        Raises
        ------
        InputError
            The image can't be read or used, or the model does not know a structure.
        """
        names = self.structures(structures)
        with opened_image(image, voxel_size_um) as opened:
            signal = self._signal(opened, channel)
            predicted = {}
            for name in names:
                volume = self.predict_signal(signal, name, advance=advance)
                if grid == "image":
                    volume = np.stack(list(on_image_grid(volume, opened.shape_zyx)))
                predicted[name] = np.asarray(volume)
            return predicted

    def predict_parts(
        self,
        image: np.ndarray | str | Path | Image,
        structure: str,
        *,
        channel: int | str | None = None,
        voxel_size_um: Sequence[float] | None = None,
    ) -> Iterator[tuple[Place, np.ndarray]]:
        """Predict one structure in an image part by part, at the model's voxel size, for a result that is too large.

        Parameters
        ----------
        image, channel, voxel_size_um :
            As for `predict`.
        structure : str

        Yields
        ------
        tuple
            Where a finished part lies in the result (slices along Z, Y and X), and its voxels, as of `predict`. The
            parts follow each other along one axis.

        Raises
        ------
        InputError
            As for `predict`.
        """
        self.info.task(structure)
        with opened_image(image, voxel_size_um) as opened:
            signal = self._signal(opened, channel)
        yield from self.predict_strips(signal, structure)

    @cached_property
    def reference(self) -> Reference | None:
        """The training images, to compare images with; None if the model file does not tell of them.

        Raises
        ------
        InputError
            What the file tells of them is damaged.
        """
        return Reference.of_model(self.info.signals)

    @cached_property
    def window_bytes(self) -> int:
        """Bytes of CPU memory that the prediction of a window takes."""
        on_gpu = self.compute.device.type == "cuda"
        return 0 if on_gpu else window_bytes(self._specialised(0), self.windows.patch)

    @cached_property
    def seconds_a_window(self) -> float:
        """Time that the prediction of one window takes on this machine, by one on trial."""
        network = self._specialised(0)
        for patch in (SMALLEST_WINDOW, self.windows.patch):
            # the first only wakes the machine
            started = perf_counter()
            predict_windows(network, torch.zeros(1, 1, *patch), self.compute.autocast)
        return perf_counter() - started

    def _signal(self, image: Image, channel: int | str | None) -> Voxels:
        number = only_channel(image) if channel is None else channel
        signal = to_model_voxels(image, number, factors_to_model(image, self.info))[0]
        if self.reference and (warning := self.reference.compare(signal, image.pixel_size_um).warning(image.name)):
            logger.warning("%s", warning)
        return signal


def only_channel(image: Image) -> int:
    """Return the channel of an image that has a single one.

    Raises
    ------
    InputError
        It has several.
    """
    if len(image.channel_names) > 1:
        listed = listed_channels(image.channel_names)
        raise InputError(f"{image.name} has several channels ({listed}); give that of the transmitted light.")
    return 0
