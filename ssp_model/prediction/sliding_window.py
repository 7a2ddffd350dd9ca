"""Prediction of whole images by a sliding window (RepMode, supplement).

The windows lie on a regular grid, the last one moved back to the edge; where they overlap, the result is their mean
weighted by a Gaussian. An image smaller than the window is mirrored about its edges, and the result cropped.

An image is predicted in strips, each as thick as a window: the signal is read, and the prediction written, strip by
strip. So memory does not depend on how many strips there are, and both may lie in a file.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise, product
from typing import TypeVar

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from ssp_model.config.schema import PredictConfig
from ssp_model.data.crops import pad_to
from ssp_model.data.dataset import Dataset
from ssp_model.hardware import Autocast
from ssp_model.images.description import Voxels
from ssp_model.nn.method import Method
from ssp_model.prediction.memory import windows_at_once

STRIP_ARRAYS = 5
"""Arrays as large as a strip: the signal, the two sums, what is finished, and what moves on or is padded."""

Place = tuple[slice, ...]
"""Where a part lies in a volume: slices along Z, Y and X."""

Way = tuple[int, ...]
"""How a window is flipped before it is predicted: axes of (N, 1, Z, Y, X); none for a window as it is."""


@dataclass(frozen=True)
class Windows:
    """How an image is cut into windows.

    Attributes
    ----------
    patch : tuple of int
        Size of a window, Z, Y, X, multiples of 16.
    overlap : float
        Share of a window that its neighbour covers too; 0.5 as published.
    flips : str
        Axes, of `zyx`, along which windows are also predicted flipped; the predictions are averaged. As published none.
    """

    patch: tuple[int, int, int]
    overlap: float = 0.5
    flips: str = ""

    @classmethod
    def of(cls, patch: Sequence[int], config: PredictConfig) -> "Windows":
        """Return windows as configured, of the model's own size unless the configuration has another."""
        z, y, x = (int(size) for size in config.patch or patch)
        return cls((z, y, x), config.overlap, config.flips)

    def starts(self, shape: Sequence[int]) -> list[list[int]]:
        """Return where windows start along each axis, in an image at least as large as one."""
        starts = []
        for size, window in zip(shape, self.patch, strict=True):
            step = max(int(window * (1 - self.overlap)), 1)
            last = size - window
            starts.append([*range(0, last, step), last])
        return starts

    def count(self, shape: Sequence[int]) -> int:
        """Return how many windows the network sees of an image, flipped ones included."""
        return self.num_places(shape) * 2 ** len(self.flips)

    def num_places(self, shape: Sequence[int]) -> int:
        """Return at how many places windows lie in an image."""
        return math.prod(map(len, self.starts(self.padded(shape))))

    def padded(self, shape: Sequence[int]) -> list[int]:
        """Return the shape of an image once it is at least as large as a window."""
        return [max(size, window) for size, window in zip(shape, self.patch, strict=True)]

    def strip_axis(self, shape: Sequence[int]) -> int:
        """Return the axis along which an image has most windows: strips across it are smallest."""
        padded = self.padded(shape)
        return max(range(3), key=lambda axis: padded[axis] / self.patch[axis])

    def strip_bytes(self, shape: Sequence[int]) -> int:
        """Return the memory that `predict_strips` takes for an image, the windows that are predicted at once apart."""
        axis = self.strip_axis(shape)
        strip = math.prod(self.patch[a] if a == axis else size for a, size in enumerate(self.padded(shape)))
        return STRIP_ARRAYS * 4 * strip


@lru_cache(maxsize=4)
def window_weights(patch: tuple[int, int, int]) -> np.ndarray:
    """Return the weight of each voxel of a window, (Z, Y, X), float32, as published.

    A unit impulse at the centre, blurred by a Gaussian of an eighth of the window, scaled to a maximum of 1; zeros
    take the smallest value that is not zero, so that no voxel goes without weight.
    """
    impulse = np.zeros(patch)
    impulse[tuple(size // 2 for size in patch)] = 1
    weights = ndimage.gaussian_filter(impulse, [size / 8 for size in patch], mode="constant", cval=0)
    weights = (weights / weights.max()).astype(np.float32)
    weights[weights == 0] = weights[weights > 0].min()
    return weights


class Blend:
    """The weighted mean of overlapping windows in a strip of planes, which moves on along the first axis of an image.

    Parameters
    ----------
    weights : ndarray
        Weight of each voxel of a window, (planes, rows, columns), float32.
    rows, columns : int
        Size of the planes; the strip has as many of them as a window.
    """

    def __init__(self, weights: np.ndarray, rows: int, columns: int) -> None:
        self._weights = weights
        # laid out in memory as the weights are
        self._sum = np.zeros_like(weights, shape=(len(weights), rows, columns))
        self._sum_of_weights = np.zeros_like(self._sum)

    def add(self, row: int, column: int, window: np.ndarray) -> None:
        """Add a window, (planes, rows, columns), that starts at a row and a column."""
        _, height, width = window.shape
        place = np.s_[:, row : row + height, column : column + width]
        self._sum[place] += self._weights * window
        self._sum_of_weights[place] += self._weights

    def take(self, num_planes: int) -> np.ndarray:
        """Hand out the first planes of the strip, which are finished, and move the strip on by as many."""
        finished = self._sum[:num_planes] / self._sum_of_weights[:num_planes]
        for sums in (self._sum, self._sum_of_weights):
            unfinished = sums[num_planes:].copy(order="K")
            sums[: len(unfinished)] = unfinished
            sums[len(unfinished) :] = 0
        return finished


def predict_volume(
    network: nn.Module,
    signal: Voxels,
    windows: Windows,
    autocast: Autocast | None = None,
    out: Voxels | None = None,
    *,
    advance: Callable[[float], None] | None = None,
    memory: int | None = None,
) -> Voxels:
    """Predict one structure in a whole image.

    Parameters
    ----------
    network, signal, windows, autocast, memory :
        As for `predict_strips`.
    out : array or dataset, optional
        Where to write the prediction; a new array without.
    advance : callable, optional
        Told how many voxels more are done, after each batch of windows. What it raises ends the prediction.

    Returns
    -------
    array or dataset
        Predicted fluorescence, standardised, (Z, Y, X).
    """
    out = np.empty(signal.shape, np.float32) if out is None else out
    for place, part in predict_strips(network, signal, windows, autocast, advance=advance, memory=memory):
        out[place] = part
    return out


def predict_strips(
    network: nn.Module,
    signal: Voxels,
    windows: Windows,
    autocast: Autocast | None = None,
    *,
    advance: Callable[[float], None] | None = None,
    memory: int | None = None,
    ways: Sequence[Way] | None = None,
) -> Iterator[tuple[Place, np.ndarray]]:
    """Predict one structure in an image, strip by strip.

    Parameters
    ----------
    network : Module
        (N, 1, Z, Y, X) to the same shape, in evaluation mode, such as `specialised` gives; it predicts on its device.
    signal : array or dataset
        Standardised transmitted light, (Z, Y, X).
    windows : Windows
    autocast : callable, optional
        Makes the context that sets the arithmetic; float32 without.
    advance : callable, optional
        As for `predict_volume`.
    memory : int, optional
        Bytes that the windows predicted at once may take on a CPU.
    ways : sequence of Way, optional
        How windows are flipped, in place of all ways of `windows.flips`.

    Yields
    ------
    tuple
        Where a finished part lies, and its voxels: predicted fluorescence, standardised, (Z, Y, X). The parts follow
        each other along one axis, do not overlap, and together are the whole image.
    """
    padded, axis = windows.padded(signal.shape), windows.strip_axis(signal.shape)
    # from here on that axis comes first, and each array is turned back where it leaves
    strip_starts, *corners = _bring_to_front(axis, windows.starts(padded))
    length, *plane_shape = _bring_to_front(axis, padded)
    patch = _bring_to_front(axis, windows.patch)
    blend = Blend(np.moveaxis(window_weights(windows.patch), axis, 0), *plane_shape)
    at_once = windows_at_once(network, windows.patch, autocast, memory)
    places = list(product(*corners))
    ways = ways_of(windows.flips) if ways is None else ways
    num_voxels, num_windows, done = math.prod(signal.shape), len(strip_starts) * len(places), 0
    for start, next_start in pairwise([*strip_starts, length]):
        strip = np.moveaxis(signal[_along(axis, start, start + patch[0])], axis, 0)
        strip, inner = pad_to(strip, patch)
        for some in (places[i : i + at_once] for i in range(0, len(places), at_once)):
            batch = np.empty((len(some), 1, *windows.patch), np.float32)
            for n, (row, column) in enumerate(some):
                window = strip[:, row : row + patch[1], column : column + patch[2]]
                batch[n, 0] = np.moveaxis(window, 0, axis)
            predicted = predict_windows(network, torch.from_numpy(batch), autocast, ways)
            for (row, column), window in zip(some, predicted[:, 0].numpy(), strict=True):
                blend.add(row, column, np.moveaxis(window, axis, 0))
            before, done = done, done + len(some)
            if advance:
                # of whole voxels, so that the sum is exact
                advance(float(num_voxels * done // num_windows - num_voxels * before // num_windows))
        # no later strip reaches the planes before its start
        finished = blend.take(next_start - start)[inner]
        yield _along(axis, start, start + len(finished)), np.moveaxis(finished, 0, axis)


def ways_of(flips: str) -> list[Way]:
    """Return all ways to flip a window along some of these axes, of `zyx`; first the window as it is."""
    axes = ["zyx".index(axis) + 2 for axis in flips]
    return [way for count in range(len(axes) + 1) for way in combinations(axes, count)]


@torch.inference_mode()
def predict_windows(
    network: nn.Module, windows: Tensor, autocast: Autocast | None, ways: Sequence[Way] = ((),)
) -> Tensor:
    """Predict windows, (N, 1, Z, Y, X), on the network's device; float32, on the CPU: the mean over ways to flip."""
    device = next(network.parameters()).device
    windows = windows.to(device, memory_format=torch.channels_last_3d)
    with autocast() if autocast else nullcontext():
        predictions = [network(windows.flip(way) if way else windows).float().flip(way) for way in ways]
    return (torch.stack(predictions).mean(0) if len(ways) > 1 else predictions[0]).cpu()


T = TypeVar("T")


def _bring_to_front(axis: int, of_axes: Sequence[T]) -> list[T]:
    """Bring the entry of one axis to the front."""
    return [of_axes[axis], *(value for a, value in enumerate(of_axes) if a != axis)]


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """Select a part of a volume along one axis, all of it along the others."""
    return tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))


def predict_dataset(
    network: Method,
    dataset: Dataset,
    windows: Windows,
    autocast: Autocast | None = None,
    samples: Iterable[int] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Predict the labelled structure of samples of a dataset (of all, if none are named), structure by structure.

    Yields
    ------
    tuple
        A sample's number and its prediction, standardised, (Z, Y, X), float32.
    """
    tasks = dataset.index.task_number if samples is None else dataset.index.task_number[list(samples)]
    for task in sorted(tasks.unique()):
        of_task = specialised(network, task)
        for sample in tasks.index[tasks == task]:
            yield sample, np.asarray(predict_volume(of_task, dataset.signal(sample), windows, autocast))


def specialised(network: Method, task: int) -> nn.Module:
    """Return the network that predicts one task, laid out in memory as convolutions are fastest."""
    return network.specialise(task).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
