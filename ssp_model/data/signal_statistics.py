"""Cheap statistics of signals, so that a new image can be compared with the training images.

A signal is measured as the network sees it: standardised, at the model's voxel size. The measures need no random
numbers, and a bounded part of a signal: up to `MOST_PLANES` planes from the middle, and of them up to 3 x 3 crops,
evenly spread.

| measure | meaning |
|---|---|
| `intensity {percent}` | percentiles of the intensities |
| `contrast` | log10 of the variance of details up to 32 voxels wide; the rest is slow background |
| `lateral {band}` | log10 of the mean power in a band of spatial frequencies along Y and X, as a share of all bands |
| `axial {band}` | likewise along Z |
| `continuity` | correlation of the finest details of neighbouring planes (Fisher's z): noise has none |
| `below`, `above` | log10 of the energy of details in the lowest and the highest third of planes, over the middle one |
| `asymmetry {third}` | balance of details in a third of the planes: from -1, dark on a bright ground, to 1 |
| `tails {third}` | log10 of how far the strongest details are from the usual ones |

Not measured: the shapes of cells, and anything wider than 32 voxels.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from ssp_model.data.dataset import Dataset
from ssp_model.images.description import Voxels

VERSION = 1
"""Raised when a measure changes its meaning: measures of two versions can't be compared."""

MOST_PLANES, CROP, CROPS = 48, 96, 3
"""Planes that are measured of a signal; voxels of a crop, and number of crops, along Y and along X."""

MOST_IMAGES = 64
"""Training images that are measured, evenly spread over all."""

BANDS = {"fine": (1 / 4, 1 / 2), "small": (1 / 8, 1 / 4), "medium": (1 / 16, 1 / 8), "large": (1 / 32, 1 / 16)}
"""Octaves of spatial frequency, in cycles a voxel."""

PERCENTS = (1, 10, 50, 90, 99)
THIRDS = ("below", "middle", "above")
FINE, COARSE = 1.0, 4.0
"""Widths, in voxels, of the two Gaussians between which details lie."""

TINY = 1e-9
"""Keeps logarithms finite where a signal is constant."""

Measures = dict[str, float | None]
"""By name; None where the signal has too few planes or pixels."""


def measure(signal: Voxels) -> Measures:
    """Measure a signal.

    Parameters
    ----------
    signal : array or dataset
        Standardised transmitted light at the model's voxel size, (Z, Y, X); only the crops are read.

    Returns
    -------
    dict
        The measures of this module's table.
    """
    crops = list(_crops(signal))
    levels = np.percentile(np.concatenate([crop.ravel() for crop in crops]), PERCENTS)
    found = {f"intensity {percent}": float(level) for percent, level in zip(PERCENTS, levels, strict=True)}
    found |= _spectra(crops) | _continuity(crops) | _details(crops)
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in found.items()}


def training_signals(dataset: Dataset) -> dict[str, Any]:
    """Measure the signals of a training dataset, for the model file.

    Returns
    -------
    dict
        Plain values: `version` and `num_images` (of the dataset), and of each image that was measured its measures
        (`measures`), the voxels of a plane that they are from (`num_pixels`), and the voxel size of the raw image
        (`pixel_size_um`; Z, Y, X; None where it is not known).
    """
    samples = dataset.index.drop_duplicates("signal").index
    chosen = [samples[i * len(samples) // MOST_IMAGES] for i in range(MOST_IMAGES)]
    measured = list(dict.fromkeys(samples if len(samples) <= MOST_IMAGES else chosen))
    return {
        "version": VERSION,
        "num_images": len(samples),
        "measures": [measure(dataset.signal(sample)) for sample in measured],
        "num_pixels": [num_pixels(dataset.signal(sample).shape) for sample in measured],
        "pixel_size_um": [dataset.pixel_size_um(sample) for sample in measured],
    }


def num_pixels(shape: Sequence[int]) -> int:
    """Return how many voxels of a plane of a signal of a shape (Z, Y, X) are measured."""
    y, x = (_parts(size) for size in shape[1:])
    return sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows in y for columns in x)


def _crops(signal: Voxels) -> Iterator[np.ndarray]:
    """Yield the crops of a signal that are measured, (Z, Y, X)."""
    num_planes = min(signal.shape[0], MOST_PLANES)
    first = (signal.shape[0] - num_planes) // 2
    for y in _parts(signal.shape[1]):
        for x in _parts(signal.shape[2]):
            # plane by plane: a volume in a file reads whole rows
            yield np.concatenate([signal[z : z + 1, y, x] for z in range(first, first + num_planes)])


def _parts(size: int) -> list[slice]:
    """Return the parts of an axis that are measured: as many as there is place for, evenly spread."""
    length = min(size, CROP)
    num = min(round(size / length), CROPS)
    # each in the middle of its share of the axis
    starts = [(2 * part + 1) * size // (2 * num) - length // 2 for part in range(num)]
    return [slice(start, start + length) for start in (min(max(start, 0), size - length) for start in starts)]


def _spectra(crops: list[np.ndarray]) -> dict[str, float]:
    """Return the power of the bands along Y and X, and along Z."""
    depth, *plane = crops[0].shape
    radius = np.hypot(np.fft.fftfreq(plane[0])[:, None], np.fft.rfftfreq(plane[1]))
    lateral = _bands(np.mean([_power(crop, (1, 2)) for crop in crops], axis=0), radius)
    axial = _bands(np.mean([_power(crop, (0,)) for crop in crops], axis=0), np.fft.rfftfreq(depth))
    # a band is a ring in the plane of frequencies
    variance = np.nansum([np.pi * (BANDS[name][1] ** 2 - BANDS[name][0] ** 2) * p for name, p in lateral.items()])
    found = {"contrast": float(np.log10(variance + TINY))}
    for title, powers in (("lateral", lateral), ("axial", axial)):
        found |= {f"{title} {name}": float(np.log10((p + TINY) / (variance + TINY))) for name, p in powers.items()}
    return found


def _power(crop: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the mean power spectrum of a crop along some axes, on the grid of `rfftn`."""
    centred = crop - crop.mean(axes, keepdims=True)
    for axis in axes:
        # fade out at the borders: a jump there would look like fine detail
        fade = np.hanning(crop.shape[axis] + 2)[1:-1]
        fade /= np.sqrt(np.square(fade).mean())
        centred *= np.expand_dims(fade, [other for other in range(3) if other != axis]).astype(np.float32)
    power = np.square(np.abs(np.fft.rfftn(centred, axes=axes)))
    num = np.prod([crop.shape[axis] for axis in axes])
    return power.mean(tuple(axis for axis in range(3) if axis not in axes)) / num


def _bands(power: np.ndarray, frequency: np.ndarray) -> dict[str, float]:
    """Return the mean power of each band; NaN for one without any frequency."""
    of_band = {name: power[(frequency > low) & (frequency <= high)] for name, (low, high) in BANDS.items()}
    return {name: float(values.mean()) if values.size else np.nan for name, values in of_band.items()}


def _continuity(crops: list[np.ndarray]) -> dict[str, float]:
    """Return how much the finest details of neighbouring planes agree."""
    finest = [crop - ndimage.gaussian_filter(crop, (0, FINE, FINE)) for crop in crops]
    both = sum(float((planes[1:] * planes[:-1]).sum()) for planes in finest)
    each = sum(float(np.square(planes[:-1]).sum() + np.square(planes[1:]).sum()) for planes in finest) / 2
    is_stack = len(crops[0]) > 1
    return {"continuity": float(np.arctanh(np.clip(both / (each + TINY), -0.999, 0.999))) if is_stack else np.nan}


def _details(crops: list[np.ndarray]) -> dict[str, float]:
    """Return how strong details are in each third of the planes, and how bright and dark ones balance."""
    details = np.stack(
        [ndimage.gaussian_filter(c, (0, FINE, FINE)) - ndimage.gaussian_filter(c, (0, COARSE, COARSE)) for c in crops]
    )
    depth = details.shape[1]
    if depth < len(THIRDS):
        names = ("below", "above", *(f"{what} {third}" for what in ("asymmetry", "tails") for third in THIRDS))
        return dict.fromkeys(names, np.nan)
    cuts = [0, depth // 3, depth - depth // 3, depth]
    found, energy = {}, {}
    for third, start, stop in zip(THIRDS, cuts, cuts[1:], strict=False):
        part = details[:, start:stop]
        energy[third] = np.log10(float(np.square(part).mean()) + TINY)
        low, low_usual, middle, high_usual, high = np.percentile(part, (1, 25, 50, 75, 99))
        found[f"asymmetry {third}"] = float((low + high - 2 * middle) / (high - low + TINY))
        found[f"tails {third}"] = float(np.log10((high - low + TINY) / (high_usual - low_usual + TINY)))
    found |= {third: float(energy[third] - energy["middle"]) for third in ("below", "above")}
    return found
