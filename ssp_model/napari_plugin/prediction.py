"""Predict a layer of napari, time point by time point: a thin coat over `Predictor`. No Qt here."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import ssp_model
from ssp_model.data.preprocess import resized_shape
from ssp_model.errors import InputError
from ssp_model.hardware import device_names, free_memory
from ssp_model.images.description import Sizes
from ssp_model.images.ome_output import COLOURS, PROJECT_KEY
from ssp_model.log import collected_warnings
from ssp_model.models.model_file import ModelInfo, read_info
from ssp_model.models.store import local_model
from ssp_model.napari_plugin.layer import LayerSource, title
from ssp_model.prediction.grid import factors_to_model
from ssp_model.prediction.memory import MEMORY_ON_CPU, MOST_AT_ONCE
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.signal_predictor import Advance

LIMITS = (50, 99.8)
"""Percentiles of a prediction that are shown as black and as full colour; the report has the same."""

LIMIT_VOXELS = 10**6
"""Voxels that tell the percentiles."""

LayerData = tuple[np.ndarray, dict[str, Any], str]
"""What napari makes a layer of: array, settings, kind."""


class Stopped(BaseException):
    """The user stopped the prediction."""


@dataclass(frozen=True)
class Job:
    """What is to be predicted.

    Attributes
    ----------
    source : LayerSource
    channel : int
        Channel of the transmitted light, from 0.
    model : str
        Path or address of a model file.
    structures : tuple of str
        At least one.
    voxel_size_um : tuple of float or None, or None
        Z, Y, X, in place of what the layer says.
    overlap : float
    device : str
        As for `Predictor`.
    """

    source: LayerSource
    channel: int
    model: str
    structures: tuple[str, ...]
    voxel_size_um: Sizes | None = None
    overlap: float = 0.5
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("No model is chosen; give a model file, such as model.safetensors, or its address.")
        if not self.structures:
            raise InputError("No structure is chosen; tick at least one in the list of structures.")


@dataclass(frozen=True)
class Listener:
    """Who is told of a prediction, in the thread where it runs.

    Attributes
    ----------
    total, done : callable
        Told how many windows there are, and how many are predicted so far.
    warning : callable
        Told a sentence.
    check_stop : callable
        Called often; it raises `Stopped` if the prediction is to stop.
    """

    total: Callable[[int], None]
    done: Callable[[int], None]
    warning: Callable[[str], None]
    check_stop: Callable[[], None]


def describe_model(address: str) -> tuple[ModelInfo, list[str]]:
    """Return what a model file says of its model, and the names of devices. Fetch the file first if needed.

    Raises
    ------
    InputError
        It is no model file of this project, or can't be fetched.
    """
    return read_info(local_model(address)), ["auto", *device_names()]


def predict_layer(job: Job, listener: Listener) -> Iterator[list[LayerData]]:
    """Predict structures in a layer.

    Yields
    ------
    list
        After each time point: a layer for each structure. The arrays are the same each time, and hold NaN for what is
        not predicted yet.

    Raises
    ------
    InputError
        The model, the layer or a setting can't be used, or the memory is too small.
    Stopped
        `listener.check_stop` raised it.
    """
    source = job.source
    with _in_sentences(title(source.name)), collected_warnings() as warnings:
        predictor = Predictor(job.model, device=job.device, overlap=job.overlap)
        names = predictor.structures(job.structures)
        listener.check_stop()
        image = source.image(0, job.voxel_size_um)
        model_shape = resized_shape(image.shape_zyx, factors_to_model(image, predictor.info))
        _check_memory(job, predictor, model_shape)
        # what is said here holds for all time points
        told = _tell([text.replace(", time 0", "", 1) for text in warnings], set(), listener)
        advance = _window_counter(predictor, model_shape, source.num_times * len(names), listener)
        volumes = {name: source.empty_prediction() for name in names}
        for time in range(source.num_times):
            image = source.image(time, job.voxel_size_um, listener.check_stop)
            predicted = predictor.predict(image, names, channel=job.channel, advance=advance)
            for name, volume in predicted.items():
                source.put(volume, time, volumes[name])
            told = _tell(warnings, told, listener)
            yield [_layer_data(job, predictor, name, volumes[name], predicted[name]) for name in names]


@contextmanager
def _in_sentences(layer: str) -> Iterator[None]:
    """Turn the errors of a memory that is too small into sentences."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(
            f"{layer} can't be predicted, as the memory of the GPU is too small; close other programs that use it, or "
            "choose the device cpu."
        ) from None
    except MemoryError:
        raise InputError(f"{layer} does not fit in memory; close other programs or choose fewer structures.") from None


def _tell(warnings: Sequence[str], told: set[str], listener: Listener) -> set[str]:
    """Tell the warnings of which none of the kind was told before, for another time point; return the kinds told."""
    for text in warnings:
        # time points differ in numbers
        kind = re.sub(", time [0-9]+|[0-9.]", "", text)
        if kind not in told:
            told = told | {kind}
            listener.warning(f"{text.removesuffix('.')}.")
    return told


def _window_counter(predictor: Predictor, model_shape: Sequence[int], num_volumes: int, listener: Listener) -> Advance:
    """Return what `Predictor` tells of voxels; it tells the listener of windows, and asks it whether to stop."""
    num_windows = predictor.windows.count(model_shape) * num_volumes
    num_voxels = math.prod(model_shape) * num_volumes
    voxels_done = 0.0
    listener.total(num_windows)

    def advance(voxels: float) -> None:
        nonlocal voxels_done
        voxels_done += voxels
        listener.done(round(num_windows * voxels_done / num_voxels))
        listener.check_stop()

    return advance


def _check_memory(job: Job, predictor: Predictor, model_shape: Sequence[int]) -> None:
    """Refuse a layer whose predictions do not fit in memory, where napari keeps them.

    Raises
    ------
    InputError
        With what is needed and what there is.
    """
    source = job.source
    of_image, of_model = 4 * math.prod(source.shape_zyx), 4 * math.prod(model_shape)
    # those of the time point at work are there twice
    predictions = of_image * len(job.structures) * (source.num_times + 1)
    raw = 2 * source.data.dtype.itemsize * math.prod(source.shape_zyx)
    window = predictor.window_bytes
    windows = max(window, min(MEMORY_ON_CPU, MOST_AT_ONCE * window)) + predictor.windows.strip_bytes(model_shape)
    # the signal, its prediction, and one between two resizes
    needed = predictions + raw + 3 * max(of_image, of_model) + windows
    free = free_memory()
    if needed > free:
        raise InputError(
            f"{title(source.name)} needs about {needed / 1e9:.1f} GB of memory, {predictions / 1e9:.1f} GB of it for "
            f"the predictions, but only {free / 1e9:.1f} GB are free; choose fewer structures, cut the layer into "
            "parts, or predict its file with the command ssp predict, which needs less."
        )


def _layer_data(job: Job, predictor: Predictor, name: str, volume: np.ndarray, predicted: np.ndarray) -> LayerData:
    """Return the layer of a structure; `predicted` is the last time point."""
    low, high = np.percentile(predicted.ravel()[:: max(predicted.size // LIMIT_VOXELS, 1)], LIMITS)
    colour = COLOURS[predictor.info.task(name) % len(COLOURS)]
    settings = {
        "name": f"{name} ({job.source.name})",
        "colormap": f"#{colour}",
        "blending": "additive",
        "contrast_limits": (float(low), max(float(high), float(low) + 1e-6)),
        "metadata": {PROJECT_KEY: _provenance(job, predictor, name)},
    }
    return volume, settings | job.source.placement, "image"


def _provenance(job: Job, predictor: Predictor, name: str) -> dict[str, str]:
    """Return what a layer says of its making."""
    return {
        "version": ssp_model.__version__,
        "model": job.model,
        "model sha256": predictor.sha256,
        "structure": name,
        "layer": job.source.name,
        "channel": str(job.channel),
        "overlap": f"{job.overlap:g}",
        "precision": predictor.compute.precision,
        "device": str(predictor.compute.device),
    }
