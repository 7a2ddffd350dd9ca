"""Is an image like those that a model has learnt from? A warning in one sentence if not, never an error.

Each measure of the image (`data.signal_statistics`) is compared with the mean and the spread of the training images.
The distance of the image is the largest deviation of all measures, in units of what is usual among the training
images. From 1 on, the image is unlike them. Voxel sizes count too: the distance is 1 where they are `SAME_SIZE` times
finer or coarser than those of all training images.

The unit is four standard deviations. It is larger if the training images, each compared with all others, are further
apart. So a model that has learnt from unlike images accepts more, and few training images warn of less. A smaller image
than the training images shows fewer cells, so it may be further from their mean: by the root of the ratio of areas.

What differs is named by rules that were made with simulated images (docs/likeness.md). Where two causes look alike, as
a blurred image and one of larger structures, the sentence names both.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssp_model.data.signal_statistics import PERCENTS, THIRDS, VERSION, Measures, measure, num_pixels
from ssp_model.errors import InputError
from ssp_model.images.description import Sizes, Voxels

FEWEST = 4
"""Training images that tell a spread."""

LEAST_UNIT = 4.0
"""Standard deviations of the training images that make a distance of 1, at least."""

USUAL, MARGIN = 0.9, 1.25
"""Training images: so many of them are within a distance of 1 / `MARGIN`, each compared with the others."""

FLOOR = 0.02
"""A spread of every measure that no training images are too alike to allow."""

SAME_SIZE = 1.25
"""Ratio of voxel sizes that makes a distance of 1."""

MINOR, MOST_REASONS = 0.4, 2
"""Deviations below this share of the largest are not named, and no more than so many."""

AXES = ("lateral", "axial")

DISTANCE, WARNING = "distance from the training images", "warning"
"""Entries of an output's provenance; the second only where there is a warning."""

Deviations = Mapping[str, float]
"""Of each measure: above (positive) or below the mean of the training images, in units of distance."""


@dataclass(frozen=True)
class Likeness:
    """How like the training images an image is.

    Attributes
    ----------
    distance : float
        0 is as the mean of the training images, above 1 is unlike them.
    reasons : tuple of str
        What differs, the most certain or the largest first; empty if the image is like them.
    """

    distance: float
    reasons: tuple[str, ...]

    def warning(self, name: str) -> str:
        """Return the warning for an image that is called `name`, one sentence; empty if there is none."""
        if not self.reasons:
            return ""
        return (
            f"{name} is unlike the training images (distance {self.distance:.1f}, where 1 is the limit), so check its "
            f"prediction before you use it: {'; '.join(self.reasons)}."
        )

    def provenance(self, name: str) -> dict[str, str]:
        """Return what the output of an image that is called `name` says of its likeness."""
        told = {DISTANCE: f"{self.distance:.2f}"}
        return told | {WARNING: self.warning(name)} if self.reasons else told


class Reference:
    """The training images of a model, as its file tells of them.

    Parameters
    ----------
    signals : mapping
        As `data.signal_statistics.training_signals` gives them.

    Attributes
    ----------
    num_measured : int
        Training images that were measured.

    Raises
    ------
    KeyError, TypeError, ValueError
        The values are damaged.
    """

    def __init__(self, signals: Mapping[str, Any]) -> None:
        measured: Sequence[Measures] = signals["measures"]
        self.num_measured = len(measured)
        names = [name for name in measured[0] if all(of_image[name] is not None for of_image in measured)]
        self._names = names if self.num_measured >= FEWEST else []
        self._values = np.array([[of_image[name] for name in self._names] for of_image in measured], np.float64)
        self._sizes = np.array(signals["pixel_size_um"], np.float64).reshape(-1, 3)
        self._num_pixels = float(np.median(signals["num_pixels"]))
        self._unit = LEAST_UNIT
        if self._names:
            apart = [
                np.abs(_deviations(np.delete(self._values, number, axis=0), self._values[number])).max()
                for number in range(self.num_measured)
            ]
            self._unit = max(LEAST_UNIT, MARGIN * float(np.quantile(apart, USUAL)))

    @classmethod
    def of_model(cls, signals: Mapping[str, Any] | None) -> "Reference | None":
        """Return the training images of a model; None if its file does not tell of them as this version does.

        Raises
        ------
        InputError
            The values are damaged.
        """
        if signals is None or signals.get("version") != VERSION:
            return None
        try:
            return cls(signals)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"The statistics of the training images in the model file are damaged ({error!r}); copy or train the "
                "model again."
            ) from None

    def compare(self, signal: Voxels, pixel_size_um: Sizes) -> Likeness:
        """Compare a signal with the training images.

        Parameters
        ----------
        signal : array or dataset
            Standardised transmitted light at the model's voxel size, (Z, Y, X).
        pixel_size_um : sequence of float or None
            Voxel size of the raw image, Z, Y, X; None where it is not known.
        """
        of_sizes, reasons = self._sizes_apart(pixel_size_um)
        measures = measure(signal)
        unit = self._unit * max(1.0, self._num_pixels / num_pixels(signal.shape)) ** 0.5
        deviations = self._compare(measures, unit)
        largest = _largest(deviations)
        if largest > 1:
            inverted, upside_down = (self._compare(turn(measures), unit) for turn in (_inverted, _upside_down))
            turned = _turned(inverted, upside_down, largest)
            reasons += [turned] if turned else _reasons(deviations)
        return Likeness(max(largest, of_sizes), tuple(reasons))

    def _compare(self, measures: Measures, unit: float) -> dict[str, float]:
        """Return the deviations of all measures that the image and the training images have."""
        values = np.array([measures[name] for name in self._names], np.float64)
        deviations = _deviations(self._values, values) / unit if self._names else values
        return {name: float(apart) for name, apart in zip(self._names, deviations, strict=True) if np.isfinite(apart)}

    def _sizes_apart(self, pixel_size_um: Sizes) -> tuple[float, list[str]]:
        """Return how far the voxel size is from those of the training images, in units of distance, and in words."""
        largest, differs = 0.0, defaultdict(list)
        for axis, size, of_training in zip("ZYX", pixel_size_um, self._sizes.T, strict=True):
            known = of_training[np.isfinite(of_training)]
            if size and known.size:
                ratio = size / float(np.clip(size, known.min(), known.max()))
                apart = abs(math.log(ratio)) / math.log(SAME_SIZE)
                largest = max(largest, apart)
                if apart > 1:
                    differs[f"{ratio:.1f} times coarser" if ratio > 1 else f"{1 / ratio:.1f} times finer"].append(axis)
        texts = [f"{text} in {_listed(axes)}" for text, axes in differs.items()]
        return largest, [f"its voxels are {' and '.join(texts)}"] if texts else []


def _deviations(training: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return how far measures are from those of training images, (images, measures), in standard deviations."""
    # the mean of few images is itself uncertain
    variance = training.var(axis=0, ddof=1) * (1 + 1 / len(training))
    return (values - training.mean(axis=0)) / np.sqrt(variance + FLOOR**2)


def _largest(deviations: Deviations) -> float:
    return max(map(abs, deviations.values()), default=0.0)


def _inverted(measures: Measures) -> Measures:
    """Return the measures of the same signal with dark and bright exchanged."""
    found = dict(measures)
    for percent in PERCENTS:
        found[f"intensity {percent}"] = _negative(measures[f"intensity {100 - percent}"])
    for third in THIRDS:
        found[f"asymmetry {third}"] = _negative(measures[f"asymmetry {third}"])
    return found


def _upside_down(measures: Measures) -> Measures:
    """Return the measures of the same signal with its planes in reverse order."""
    found = dict(measures)
    for what in ("", "asymmetry ", "tails "):
        found[f"{what}below"], found[f"{what}above"] = measures[f"{what}above"], measures[f"{what}below"]
    return found


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _turned(inverted: Deviations, upside_down: Deviations, largest: float) -> str:
    """Say that a signal would be like the training images if it were inverted or turned; empty if neither helps."""
    apart, text = min(
        (_largest(inverted), "its contrast looks inverted: dark and bright are exchanged"),
        (_largest(upside_down), "its planes seem to run the other way, from top to bottom"),
    )
    return text if apart <= max(1.0, largest / 3) else ""


def _reasons(of: Deviations) -> list[str]:
    """Say in words what differs, the largest first."""
    # no dark details, and most of it darker than its mean
    if min(of.get("intensity 1", 0.0), of.get("intensity 10", 0.0)) > 1 and of.get("intensity 50", 0.0) < 0:
        return ["it is bright on a dark ground, as fluorescence is"]
    least = max(1.0, MINOR * _largest(of))
    found = sorted((reason for reason in (_detail(of), _intensities(of), _focus(of), _pattern(of))), reverse=True)
    return [text for apart, text in found if apart > least][:MOST_REASONS]


def _detail(of: Deviations) -> tuple[float, str]:
    """Compare fine detail: missing along an axis, more of it, or noise."""
    bands = {name: [of.get(f"{name} {band}", 0.0) for band in ("fine", "small")] for name in AXES}
    continuity, (axial_fine, axial_small) = of.get("continuity", 0.0), bands["axial"]
    apart = max(abs(continuity), *(abs(value) for both in bands.values() for value in both))
    # noise differs from plane to plane, most of all in the finest band
    if continuity < -1 and axial_fine > 2 * max(axial_small, 0.0):
        return apart, "its details are lost in blur and noise" if bands["lateral"][0] < -1 else "it is noisier"
    if less := [name for name, (fine, small) in bands.items() if fine < -1 or (small < -1 and fine < 0)]:
        return apart, (
            f"it has less fine detail in {_axes(less)} (blurred, out of focus, with another objective or "
            "condenser, or of larger structures)"
        )
    if more := [name for name, both in bands.items() if max(both) > 1]:
        return apart, f"it has more fine detail in {_axes(more)} (sharper, or of smaller structures)"
    return apart, f"neighbouring planes are {'more' if continuity > 0 else 'less'} alike"


def _axes(names: Sequence[str]) -> str:
    axes = {"lateral": ["X", "Y"], "axial": ["Z"]}
    return _listed([axis for name in names for axis in axes[name]])


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _intensities(of: Deviations) -> tuple[float, str]:
    """Compare the distribution of intensities."""
    apart = max(abs(of.get(f"intensity {percent}", 0.0)) for percent in PERCENTS)
    return apart, "its intensities are distributed otherwise"


def _focus(of: Deviations) -> tuple[float, str]:
    """Compare where in the stack the details are."""
    below, above = of.get("below", 0.0), of.get("above", 0.0)
    apart = max(abs(below), abs(above))
    if below * above < 0:
        return apart, f"its sharp planes lie {'higher' if above > below else 'lower'} in the stack"
    return apart, f"its sharp planes fill {'more' if below + above > 0 else 'less'} of the stack"


def _pattern(of: Deviations) -> tuple[float, str]:
    """Compare the mix of sizes, and the kind of contrast."""
    sizes = ["contrast", *(f"{name} {band}" for name in AXES for band in ("medium", "large"))]
    kinds = [f"{what} {third}" for what in ("asymmetry", "tails") for third in THIRDS]
    return max(
        (max(abs(of.get(name, 0.0)) for name in sizes), "large and small structures are mixed otherwise"),
        (
            max(abs(of.get(name, 0.0)) for name in kinds),
            "its bright and dark details are balanced otherwise (another focus, or another kind of microscopy)",
        ),
    )
