"""Prediction of whole images by a sliding window (RepMode, supplement).

The windows lie on a regular grid, the last one moved back to the edge; where they overlap, the result is their mean
weighted by a Gaussian. An image smaller than the window is mirrored about its edges, and the result cropped.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from scipy import ndimage
from torch import Tensor, nn

from ssp_model.dataset import Dataset
from ssp_model.nn import RepMode
from ssp_model.patches import pad_to

Autocast = Callable[[], AbstractContextManager[object]]
"""Makes the context that sets the arithmetic."""

WINDOWS_AT_ONCE = 4


@lru_cache(maxsize=4)
def window_weights(patch: tuple[int, int, int]) -> Tensor:
    """Weight of each voxel of a window, (Z, Y, X), float32, as published.

    A unit impulse at the centre, blurred by a Gaussian of an eighth of the window, scaled to a maximum of 1; zeros
    take the smallest value that is not zero, so that no voxel goes without weight.
    """
    impulse = np.zeros(patch)
    impulse[tuple(size // 2 for size in patch)] = 1
    weights = ndimage.gaussian_filter(impulse, [size / 8 for size in patch], mode="constant", cval=0)
    weights = (weights / weights.max()).astype(np.float32)
    weights[weights == 0] = weights[weights > 0].min()
    return torch.from_numpy(weights)


@torch.inference_mode()
def predict_volume(
    network: nn.Module,
    signal: np.ndarray,
    patch: Sequence[int],
    overlap: float = 0.5,
    autocast: Autocast | None = None,
) -> np.ndarray:
    """Predict one structure in a whole image.

    Parameters
    ----------
    network : Module
        (N, 1, Z, Y, X) to the same shape, in evaluation mode, such as `RepMode.specialise` gives; the prediction is
        made on its device.
    signal : ndarray
        Standardised transmitted light, (Z, Y, X), float32.
    patch : sequence of int
        Size of the window, Z, Y, X, multiples of 16.
    overlap : float
        Share of a window that its neighbour covers too.
    autocast : callable, optional
        float32 without.

    Returns
    -------
    ndarray
        Predicted fluorescence, standardised, (Z, Y, X), float32.
    """
    device = next(network.parameters()).device
    window = tuple(int(size) for size in patch)
    padded, inner = pad_to(signal, window)

    def predict_windows(windows: Tensor) -> Tensor:
        with autocast() if autocast else nullcontext():
            return network(windows.to(memory_format=torch.channels_last_3d)).float()

    predicted = sliding_window_inference(
        torch.from_numpy(np.ascontiguousarray(padded, dtype=np.float32))[None, None],
        roi_size=window,
        sw_batch_size=WINDOWS_AT_ONCE,
        predictor=predict_windows,
        overlap=overlap,
        roi_weight_map=window_weights(window),
        sw_device=device,
        device="cpu",
    )
    assert isinstance(predicted, Tensor)
    return predicted[0, 0].numpy()[inner]


def predict_dataset(
    model: RepMode,
    dataset: Dataset,
    patch: Sequence[int],
    overlap: float,
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
        network = model.specialise(task).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        for sample in tasks.index[tasks == task]:
            yield sample, predict_volume(network, dataset.signal(sample)[()], patch, overlap, autocast)
