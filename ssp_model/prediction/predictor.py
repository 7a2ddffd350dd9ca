"""A trained model, ready to predict whole images."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ssp_model.config.schema import PredictConfig
from ssp_model.hardware import Compute
from ssp_model.images.description import Voxels
from ssp_model.models.model_file import load_model
from ssp_model.prediction.sliding_window import Windows, predict_volume, specialised


class Predictor:
    """Predict structures in whole images with the model of a file.

    Parameters
    ----------
    model_path : path
        Model file.
    config : PredictConfig
        The sliding window.
    precision : str
        Arithmetic, as `train.precision`.
    threads : int
        CPU threads.

    Attributes
    ----------
    info : ModelInfo
        What the model file says of the model.

    Raises
    ------
    InputError
        The file is not a model file of this project.
    """

    def __init__(
        self, model_path: str | Path, config: PredictConfig, precision: str = "auto", threads: int = 1
    ) -> None:
        torch.set_num_threads(threads)
        self._compute = Compute.choose(precision)
        self._model, self.info = load_model(model_path, self._compute.device)
        self._windows = Windows.of(self.info.patch, config)
        self._network: tuple[int, nn.Module] | None = None

    def predict(
        self,
        signal: Voxels,
        structure: str,
        *,
        out: Voxels | None = None,
        advance: Callable[[float], None] | None = None,
    ) -> Voxels:
        """Predict one structure in an image; quicker if it is that of the image before.

        Parameters
        ----------
        signal : array or HDF5 dataset
            Standardised transmitted light at the model's voxel size, (Z, Y, X).
        structure : str
            One of `info.structures`.
        out, advance : optional
            As for `predict_volume`.

        Returns
        -------
        array or HDF5 dataset
            Predicted fluorescence, standardised, (Z, Y, X).

        Raises
        ------
        InputError
            The model does not know the structure.
        """
        network = self._specialised(self.info.task(structure))
        return predict_volume(network, signal, self._windows, self._compute.autocast, out, advance=advance)

    def _specialised(self, task: int) -> nn.Module:
        if self._network is None or self._network[0] != task:
            self._network = None  # two at once may not fit in memory
            self._network = task, specialised(self._model, task)
        return self._network[1]
