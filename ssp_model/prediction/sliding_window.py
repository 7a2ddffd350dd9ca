"""Prediction of whole images by a sliding window (RepMode, supplement).

The windows lie on a regular grid, the last one moved back to the edge; where they overlap, the result is their mean
weighted by a Gaussian. An image smaller than the window is mirrored about its edges, and the result cropped.

An image is worked through in strips, each as thick as a window: the signal is read, and the prediction written, strip
by strip, so memory does not depend on how many strips there are, and both may lie in a file.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from typing import Protocol

import numpy as np
import torch
from monai.data.utils import dense_patch_slices
from scipy import ndimage
from torch import Tensor, nn

from ssp_model.config.schema import PredictConfig
from ssp_model.data.crops import pad_to
from ssp_model.data.dataset import Dataset
from ssp_model.nn.method import Method

Autocast = Callable[[], AbstractContextManager[object]]
"""Makes the context that sets the arithmetic."""

MEMORY_ON_CPU = 2**30
"""Bytes that the windows predicted at once may take on a CPU; on a GPU they may take half of what is free."""


class Volume(Protocol):
    """An array, or a dataset of an HDF5 file: (Z, Y, X)."""

    shape: tuple[int, ...]

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray: ...

    def __setitem__(self, key: tuple[slice, ...], value: np.ndarray) -> None: ...


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
        """Windows as configured, of the model's own size unless the configuration has another."""
        z, y, x = (int(size) for size in config.patch or patch)
        return cls((z, y, x), config.overlap, config.flips)

    def starts(self, shape: Sequence[int]) -> list[list[int]]:
        """Where windows start in an image at least as large as one, along each axis."""
        starts = []
        for size, window in zip(shape, self.patch, strict=True):
            step = window if size == window else max(int(window * (1 - self.overlap)), 1)
            starts.append([piece.start for (piece,) in dense_patch_slices((size,), (window,), (step,))])
        return starts


@lru_cache(maxsize=4)
def window_weights(patch: tuple[int, int, int]) -> np.ndarray:
    """Weight of each voxel of a window, (Z, Y, X), float32, as published.

    A unit impulse at the centre, blurred by a Gaussian of an eighth of the window, scaled to a maximum of 1; zeros
    take the smallest value that is not zero, so that no voxel goes without weight.
    """
    impulse = np.zeros(patch)
    impulse[tuple(size // 2 for size in patch)] = 1
    weights = ndimage.gaussian_filter(impulse, [size / 8 for size in patch], mode="constant", cval=0)
    weights = (weights / weights.max()).astype(np.float32)
    weights[weights == 0] = weights[weights > 0].min()
    return weights


def predict_volume(
    network: nn.Module,
    signal: Volume,
    windows: Windows,
    autocast: Autocast | None = None,
    out: Volume | None = None,
    advance: Callable[[float], None] | None = None,
) -> Volume:
    """Predict one structure in a whole image.

    Parameters
    ----------
    network : Module
        (N, 1, Z, Y, X) to the same shape, in evaluation mode, such as `Method.specialise` gives; the prediction is
        made on its device.
    signal : array or HDF5 dataset
        Standardised transmitted light, (Z, Y, X).
    windows : Windows
    autocast : callable, optional
        float32 without.
    out : array or HDF5 dataset, optional
        Where to write the prediction; a new array without.
    advance : callable, optional
        Told how many voxels more are done.

    Returns
    -------
    array or HDF5 dataset
        Predicted fluorescence, standardised, (Z, Y, X).
    """
    patch = windows.patch
    out = np.empty(signal.shape, np.float32) if out is None else out
    padded = [max(have, window) for have, window in zip(signal.shape, patch, strict=True)]
    starts = windows.starts(padded)
    # the axis along which a strip is smallest
    axis = max(range(3), key=lambda a: padded[a] / patch[a])
    across = [a for a in range(3) if a != axis]
    weights = window_weights(patch)
    strip_shape = [patch[a] if a == axis else padded[a] for a in range(3)]
    # float32 sums of windows, and of their weights
    total, weight = np.zeros(strip_shape, np.float32), np.zeros(strip_shape, np.float32)
    at_once = windows_at_once(network, patch)
    for here, following in zip(starts[axis], [*starts[axis][1:], padded[axis]], strict=True):
        strip, inner = pad_to(signal[_along(axis, slice(here, here + patch[axis]))], patch)
        places: list[tuple[slice, ...]] = []
        for first, second in product(*(starts[a] for a in across)):
            place = [slice(None)] * 3
            place[across[0]] = slice(first, first + patch[across[0]])
            place[across[1]] = slice(second, second + patch[across[1]])
            places.append(tuple(place))
        for group in (places[i : i + at_once] for i in range(0, len(places), at_once)):
            crops = np.stack([strip[window] for window in group]).astype(np.float32, copy=False)
            predicted = predict_windows(network, torch.from_numpy(crops)[:, None], autocast, windows.flips)
            for window, prediction in zip(group, predicted[:, 0].numpy(), strict=True):
                total[window] += weights * prediction
                weight[window] += weights
        # planes before the next strip's start get nothing more
        done = following - here
        finished = _along(axis, slice(0, done))
        kept = tuple(slice(i.start, min(i.stop, done)) if a == axis else i for a, i in enumerate(inner))
        lies = _along(axis, slice(here, min(following, signal.shape[axis])))
        out[lies] = (total[finished] / weight[finished])[kept]
        for sums in (total, weight):
            rest = sums[_along(axis, slice(done, None))].copy()
            sums[:] = 0
            sums[_along(axis, slice(0, patch[axis] - done))] = rest
        if advance:
            advance(float(np.prod([done if a == axis else size for a, size in enumerate(signal.shape)])))
    return out


@torch.inference_mode()
def predict_windows(network: nn.Module, windows: Tensor, autocast: Autocast | None, flips: str = "") -> Tensor:
    """Predict windows, (N, 1, Z, Y, X), on the network's device; float32, on the CPU."""
    device = next(network.parameters()).device
    windows = windows.to(device, memory_format=torch.channels_last_3d)
    axes = ["zyx".index(axis) + 2 for axis in flips]
    ways = [way for count in range(len(axes) + 1) for way in combinations(axes, count)]
    with autocast() if autocast else nullcontext():
        predictions = [network(windows.flip(way) if way else windows).float().flip(way) for way in ways]
    return (torch.stack(predictions).mean(0) if axes else predictions[0]).cpu()


def windows_at_once(network: nn.Module, patch: Sequence[int]) -> int:
    """How many windows fit in the memory at hand."""
    parameter = next(network.parameters())
    free = torch.cuda.mem_get_info(parameter.device)[0] / 2 if parameter.is_cuda else MEMORY_ON_CPU
    # of the first level's channels about eight copies live at a time: signal, skip, what the decoder joins
    a_window = 8 * len(parameter) * int(np.prod(patch)) * 4
    return int(min(max(free // a_window, 1), 32))


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    """A part of a volume along one axis, all of it along the others."""
    return tuple(part if a == axis else slice(None) for a in range(3))


def predict_dataset(
    model: Method,
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
        network = specialised(model, task)
        for sample in tasks.index[tasks == task]:
            yield sample, np.asarray(predict_volume(network, dataset.signal(sample), windows, autocast))


def specialised(model: Method, task: int) -> nn.Module:
    """The network that predicts one task, laid out in memory as convolutions are fastest."""
    return model.specialise(task).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
