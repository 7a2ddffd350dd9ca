"""The model of a file, predicting signals that are prepared: what evaluation and prediction share."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ssp_model.config.read import parse_section
from ssp_model.config.schema import PredictConfig
from ssp_model.errors import InputError
from ssp_model.files import sha256_of
from ssp_model.hardware import Compute
from ssp_model.images.description import Voxels
from ssp_model.models.model_file import load_model
from ssp_model.models.store import local_model
from ssp_model.prediction.sliding_window import Place, Way, Windows, predict_strips, predict_volume, specialised

Advance = Callable[[float], None]
"""Told how many voxels more are done, at the model's voxel size."""


class SignalPredictor:
    """Predict structures in signals at the model's voxel size.

    Parameters
    ----------
    model_path : path or str
        Model file, or its address (docs/models.md), which is then fetched into the user's cache folder.
    config : PredictConfig, optional
        The sliding window as configured, in place of `overlap` and `flips`.
    precision : str
        `auto`, `float32`, `bf16` or `fp16`, as `train.precision`.
    threads : int, optional
        CPU threads; without, torch decides.
    device : str
        Such as `cpu` or `cuda:1`; `auto` takes the first GPU, or the CPU where there is none.
    overlap : float
        Share of a window that the next window covers again.
    flips : str
        Axes, of `zyx`, along which windows are also predicted flipped.

    Attributes
    ----------
    info : ModelInfo
        What the model file says of the model.
    windows : Windows
    compute : Compute
        Device and arithmetic.

    Raises
    ------
    InputError
        The file is not a model file of this project, it can't be fetched, or a value can't be used.
    """

    def __init__(
        self,
        model_path: str | Path,
        config: PredictConfig | None = None,
        precision: str = "auto",
        threads: int | None = None,
        *,
        device: str = "auto",
        overlap: float = 0.5,
        flips: str = "",
    ) -> None:
        if config is None:
            config = parse_section(PredictConfig, {"patch": None, "overlap": overlap, "flips": flips})
        if threads is not None:
            if threads < 1:
                raise InputError(f"The number of threads is {threads} but should be at least 1.")
            torch.set_num_threads(threads)
        self.path = local_model(model_path)
        self.compute = Compute.choose(precision, device)
        self._model, self.info = load_model(self.path, self.compute.device)
        self.windows = Windows.of(self.info.patch, config)
        self._network: tuple[int, nn.Module] | None = None

    def predict_signal(
        self,
        signal: Voxels,
        structure: str,
        *,
        out: Voxels | None = None,
        advance: Advance | None = None,
        memory: int | None = None,
    ) -> Voxels:
        """Predict one structure in an image that is prepared; quicker if it is that of the image before.

        Parameters
        ----------
        signal : array or dataset
            Standardised transmitted light at the model's voxel size, (Z, Y, X).
        structure : str
            One of `info.structures`.
        out, advance, memory : optional
            As for `predict_volume`.

        Returns
        -------
        array or dataset
            Predicted fluorescence, standardised, (Z, Y, X).

        Raises
        ------
        InputError
            The model does not know the structure.
        """
        network = self._specialised(self.info.task(structure))
        autocast = self.compute.autocast
        return predict_volume(network, signal, self.windows, autocast, out, advance=advance, memory=memory)

    def predict_strips(
        self, signal: Voxels, structure: str, ways: Sequence[Way] | None = None, *, memory: int | None = None
    ) -> Iterator[tuple[Place, np.ndarray]]:
        """Predict one structure in an image that is prepared, strip by strip.

        Parameters
        ----------
        signal, structure :
            As for `predict_signal`.
        ways, memory : optional
            As for `sliding_window.predict_strips`, which says what is yielded.

        Raises
        ------
        InputError
            The model does not know the structure.
        """
        network = self._specialised(self.info.task(structure))
        yield from predict_strips(network, signal, self.windows, self.compute.autocast, memory=memory, ways=ways)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 checksum of the model file."""
        return sha256_of(self.path)

    def structures(self, wanted: Sequence[str] | None) -> tuple[str, ...]:
        """Return the structures to predict, each once: all that the model knows if none is wanted.

        Raises
        ------
        InputError
            The model does not know one of them.
        """
        names = tuple(dict.fromkeys(wanted or self.info.structures))
        for name in names:
            self.info.task(name)
        return names

    def _specialised(self, task: int) -> nn.Module:
        if self._network is None or self._network[0] != task:
            self._network = None  # two at once may not fit in memory
            self._network = task, specialised(self._model, task)
        return self._network[1]
