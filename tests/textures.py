"""Signals that look a little like transmitted light, for tests of the comparison with training images."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ssp_model.data.signal_statistics import VERSION, measure, num_pixels


def texture(seed: int, shape: tuple[int, int, int] = (16, 48, 48)) -> np.ndarray:
    """Make bright spots below and dark ones above, with a little noise; standardised, (Z, Y, X)."""
    rng = np.random.default_rng(seed)
    spots = ndimage.gaussian_filter(rng.standard_normal(shape) ** 3, 1)
    spots = np.maximum(spots, 0) * np.linspace(1, -0.5, shape[0])[:, None, None]
    return standardised(spots + 0.1 * spots.std() * rng.standard_normal(shape))


def standardised(volume: np.ndarray) -> np.ndarray:
    return ((volume - volume.mean()) / volume.std()).astype(np.float32)


def told_of(signals: Sequence[np.ndarray], pixel_size_um: tuple[float | None, ...] = (0.3, 0.3, 0.3)) -> dict:
    """Return what a model file tells of its training images."""
    return {
        "version": VERSION,
        "num_images": len(signals),
        "measures": [measure(signal) for signal in signals],
        "num_pixels": [num_pixels(signal.shape) for signal in signals],
        "pixel_size_um": [list(pixel_size_um)] * len(signals),
    }
