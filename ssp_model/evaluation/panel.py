"""What a panel reads and gives: numbers that say more about a prediction than its error, and curves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ssp_model.config.schema import ZYX


@dataclass(frozen=True)
class Pair:
    """The prediction of a test image, and its target.

    Attributes
    ----------
    prediction, target : ndarray
        Standardised fluorescence, (Z, Y, X), float32.
    voxel_size_um : tuple of float, or None
        Z, Y, X; None where it is not known.
    structure : str
    scale_z : float
        Factor by which the planes of the target became more or fewer than the raw image has; NaN if it is not known.
    """

    prediction: np.ndarray
    target: np.ndarray
    voxel_size_um: ZYX | None
    structure: str
    scale_z: float = 1.0


Curve = tuple[np.ndarray, np.ndarray]
"""Places along an axis, and the value at each."""


@dataclass(frozen=True)
class Measured:
    """What a panel says about a prediction.

    Attributes
    ----------
    numbers : mapping
        Each of the panel's metrics, by name; NaN where it is not defined.
    curves : mapping
        Curves, by name.
    """

    numbers: Mapping[str, float]
    curves: Mapping[str, Curve] = field(default_factory=dict)
