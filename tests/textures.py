"""Signals that look a little like transmitted light, for tests of the comparison with training images."""

import numpy as np
from scipy import ndimage


def texture(seed: int, shape: tuple[int, int, int] = (16, 48, 48)) -> np.ndarray:
    """Make bright spots below and dark ones above, with a little noise; standardised, (Z, Y, X)."""
    rng = np.random.default_rng(seed)
    spots = ndimage.gaussian_filter(rng.standard_normal(shape) ** 3, 1)
    spots = np.maximum(spots, 0) * np.linspace(1, -0.5, shape[0])[:, None, None]
    return standardised(spots + 0.1 * spots.std() * rng.standard_normal(shape))


def standardised(volume: np.ndarray) -> np.ndarray:
    return ((volume - volume.mean()) / volume.std()).astype(np.float32)
