"""Resolution: up to which frequency a prediction agrees with its target.

The Fourier shell correlation (Harauz and van Heel, Optik 73, 1986) is the correlation of two volumes among all
frequencies of about the same length. The resolution is one over the frequency where it falls below the half-bit curve
(van Heel and Schatz, J. Struct. Biol. 151, 2005): 0.17, and more where few frequencies could agree by chance.
Microscopes resolve less along Z, so there is a curve for each direction, of the frequencies in a wedge around it (Koho
et al., Nat. Commun. 10, 2019).

Shapes: D H W voxels, K frequencies.
"""

from typing import NamedTuple

import numpy as np
from scipy import fft

from ssp_model.config.schema import ZYX, ScoringConfig
from ssp_model.evaluation.metrics import PANELS
from ssp_model.evaluation.panel import Curve, Measured, Pair

WEDGE_DEG = 30
"""Largest angle between a frequency and its direction: the XY plane, or the Z axis."""

DEPENDENCE = 35 / 18
"""Number of neighbours along an axis, itself included, that a frequency depends on as the volume fades out."""

BANDS_UM = {"above_4um": (4.0, np.inf), "2_to_4um": (2.0, 4.0), "1_to_2um": (1.0, 2.0), "below_1um": (0.0, 1.0)}
"""Bands of detail: the smallest and the largest period in um."""


def measure_resolution(pair: Pair, _: ScoringConfig) -> Measured:
    """Compare prediction and target frequency by frequency. Without a voxel size, nothing is known."""
    if pair.voxel_size_um is None:
        return Measured(dict.fromkeys((metric.name for metric in PANELS["resolution"]), np.nan))
    spectra = Spectra(pair.prediction, pair.target, pair.voxel_size_um)
    shells = {"xy": spectra.lateral(), "z": spectra.axial()}
    resolutions = {f"resolution_{name}_um": resolution_um(*of_direction) for name, of_direction in shells.items()}
    bands = {f"pearson_{name}": spectra.correlation(*periods) for name, periods in BANDS_UM.items()}
    curves: dict[str, Curve] = {}
    for name, (frequency, correlation, threshold) in shells.items():
        curves |= {f"fsc_{name}": (frequency, correlation), f"half_bit_{name}": (frequency, threshold)}
    return Measured(resolutions | bands, curves)


class Shells(NamedTuple):
    """Frequencies of one direction, by their length.

    Attributes
    ----------
    frequency : ndarray
        Middle of each shell in 1/um, (K,).
    correlation : ndarray
        Of two volumes in each shell, (K,).
    threshold : ndarray
        Correlation that says that they agree, (K,).
    """

    frequency: np.ndarray
    correlation: np.ndarray
    threshold: np.ndarray


class Spectra:
    """The spectra of two volumes, compared.

    Parameters
    ----------
    prediction, target : ndarray
        (D, H, W).
    voxel_size_um : tuple of float
        Z, Y, X.
    """

    def __init__(self, prediction: np.ndarray, target: np.ndarray, voxel_size_um: ZYX) -> None:
        one, other = spectrum(prediction), spectrum(target)
        shape, self.voxel_size_um = prediction.shape, voxel_size_um
        z, y, x = (
            transform(size, voxel)
            for transform, size, voxel in zip(
                (fft.fftfreq, fft.fftfreq, fft.rfftfreq), shape, voxel_size_um, strict=True
            )
        )
        self.axial_squared, self.lateral_squared = (z**2)[:, None, None], y[:, None] ** 2 + x**2
        self.squared = self.axial_squared + self.lateral_squared
        # the transform of real numbers has one of each two frequencies that are opposite in X
        opposite = np.where((np.arange(len(x)) == 0) | (2 * np.arange(len(x)) == shape[2]), 1, 2)
        self.count = np.broadcast_to(opposite, self.squared.shape)
        self.products = [product * opposite for product in ((one * other.conj()).real, power(one), power(other))]
        self.extents_um = [size * voxel for size, voxel in zip(shape, voxel_size_um, strict=True)]

    def lateral(self) -> Shells:
        """Compare the frequencies along X and Y."""
        inside = self.axial_squared <= np.tan(np.deg2rad(WEDGE_DEG)) ** 2 * self.lateral_squared
        return self._shells(inside, 1 / min(self.extents_um[1:]), 0.5 / max(self.voxel_size_um[1:]))

    def axial(self) -> Shells:
        """Compare the frequencies along Z."""
        inside = self.lateral_squared <= np.tan(np.deg2rad(WEDGE_DEG)) ** 2 * self.axial_squared
        return self._shells(inside, 1 / self.extents_um[0], 0.5 / self.voxel_size_um[0])

    def correlation(self, smallest_um: float, largest_um: float) -> float:
        """Return the correlation of all details whose period is in a range; NaN if the volumes have none."""
        # the mean of a volume is no detail
        inside = (self.squared > 0) & (self.squared >= largest_um**-2)
        if smallest_um:
            inside &= self.squared < smallest_um**-2
        cross, one, other = (product[inside].sum() for product in self.products)
        return float(cross / np.sqrt(one * other)) if one * other > 0 else np.nan

    def _shells(self, inside: np.ndarray, step: float, highest: float) -> Shells:
        """Compare the frequencies inside a wedge in shells of a width, up to the highest."""
        inside = inside & (self.squared <= highest**2)
        shells = np.rint(np.sqrt(self.squared[inside]) / step).astype(int)
        counts, cross, one, other = (np.bincount(shells, of[inside]) for of in (self.count, *self.products))
        # the first shell is around the mean of the volume, which is no detail
        is_known = (np.arange(len(counts)) > 0) & (one * other > 0)
        correlation = cross[is_known] / np.sqrt(one * other)[is_known]
        return Shells(np.flatnonzero(is_known) * step, correlation, half_bit(counts[is_known] / DEPENDENCE**3))


def spectrum(volume: np.ndarray) -> np.ndarray:
    """Transform a volume (D, H, W) that fades out towards its borders, as these are no edges of what it shows."""
    faded = (volume - volume.mean()).astype(np.float32)
    for axis, size in enumerate(faded.shape):
        if size > 2:
            window = np.sin(np.pi * (np.arange(size, dtype=np.float32) + 0.5) / size) ** 2
            faded = faded * window.reshape([-1 if other == axis else 1 for other in range(3)])
    return fft.rfftn(faded)


def power(spectrum: np.ndarray) -> np.ndarray:
    """Return the squared absolute values."""
    return spectrum.real**2 + spectrum.imag**2


def half_bit(counts_K: np.ndarray) -> np.ndarray:
    """Return the correlation at which a frequency tells half a bit, (K,), for numbers of independent frequencies."""
    root = np.sqrt(counts_K)
    return (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)


def resolution_um(frequency: np.ndarray, correlation: np.ndarray, threshold: np.ndarray) -> float:
    """Return the period at which the correlation falls below the threshold, for two shells so that it is no chance.

    It is the period of the last shell if the correlation does not fall so far, and NaN if it is below from the start.
    """
    over = correlation - threshold
    falls = np.flatnonzero((over[:-1] < 0) & (over[1:] < 0))
    if len(over) < 2 or (len(falls) and falls[0] == 0):
        return np.nan
    if not len(falls):
        return float(1 / frequency[-1])
    around = [falls[0], falls[0] - 1]
    return float(1 / np.interp(0, over[around], frequency[around]))
