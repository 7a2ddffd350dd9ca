"""Objects: segment prediction and target, and compare.

Both are segmented in the same way, each with its own threshold, as a prediction has less contrast. The kind of a
structure says how:

- `filled`: bodies such as nuclei and nucleoli. Smooth, threshold (Otsu 1979), fill holes.
- `shells`: envelopes around bodies. As `filled`, and what an envelope encloses in a plane belongs to the object.
- `spots`: small bodies. Subtract the surroundings, threshold.
- `filaments`: networks and sheets. As `spots`. They have no separate objects, so only voxels are compared.

Objects below a tenth of the target's typical object are left out.

Shapes: D H W voxels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ssp_model.config.schema import ZYX, ObjectKind, ScoringConfig
from ssp_model.evaluation.metrics import PANELS
from ssp_model.evaluation.panel import Measured, Pair

KIND_OF: Mapping[str, ObjectKind] = {
    "dna": "filled",
    "fibrillarin": "filled",
    "lamin_b1": "shells",
    "desmoplakin": "spots",
    "st6gal1": "spots",
    "alpha_tubulin": "filaments",
    "beta_actin": "filaments",
    "membrane_caax_63x": "filaments",
    "myosin_iib": "filaments",
    "sec61_beta": "filaments",
    "tom20": "filaments",
    "zo1": "filaments",
}
"""Kinds of the structures of the Allen collection. The config may give others."""

SMOOTHING_UM = {"filled": 0.4, "shells": 0.4, "spots": 0.15, "filaments": 0.15}
"""Standard deviation of the Gaussian that reduces noise."""

SURROUNDINGS_UM = 1.5
"""Standard deviation of the Gaussian whose result is subtracted from spots and filaments."""

SMALLEST_SHARE = 0.1
"""Share of the volume of a typical object below which one is left out."""

MATCHING_IOU = 0.5
"""Objects match if their intersection has more than this share of their union."""


def kind_of(structure: str, scoring: ScoringConfig) -> ObjectKind | None:
    """Return how a structure is segmented; None if it is not known."""
    return scoring.objects.get(structure, KIND_OF.get(structure))


def why_not(structure: str, scoring: ScoringConfig) -> str:
    """Say what of a structure is not compared, and why; empty if all is."""
    kind = kind_of(structure, scoring)
    if kind is None:
        return "not segmented: evaluate.objects does not say how"
    if kind == "none":
        return "not segmented: evaluate.objects says none"
    return "objects are not counted: filaments and sheets have no separate ones" if kind == "filaments" else ""


def measure_objects(pair: Pair, scoring: ScoringConfig) -> Measured:
    """Segment prediction and target, and compare. Without a kind or a voxel size, nothing is known."""
    numbers = dict.fromkeys((metric.name for metric in PANELS["objects"]), np.nan)
    kind = kind_of(pair.structure, scoring)
    if kind is None or kind == "none" or pair.voxel_size_um is None:
        return Measured(numbers)
    prediction, target = (foreground(image, kind, pair.voxel_size_um) for image in (pair.prediction, pair.target))
    numbers |= compare_voxels(prediction, target)
    if kind != "filaments":
        numbers |= compare_objects(Objects.of(prediction), Objects.of(target), pair.voxel_size_um)
    return Measured(numbers)


def foreground(image: np.ndarray, kind: ObjectKind, voxel_size_um: ZYX) -> np.ndarray:
    """Tell which voxels belong to a structure, (D, H, W), bool; none in a constant image."""
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    def smoothed(sigma_um: float) -> np.ndarray:
        return ndimage.gaussian_filter(image, [sigma_um / size for size in voxel_size_um], truncate=3)

    seen = smoothed(SMOOTHING_UM[kind])
    if kind in ("spots", "filaments"):
        seen = seen - smoothed(SURROUNDINGS_UM)
    if np.ptp(seen) < 1e-6:
        return np.zeros(image.shape, bool)
    mask = seen > threshold_otsu(seen)
    return filled(mask) if kind in ("filled", "shells") else mask


def filled(mask: np.ndarray) -> np.ndarray:
    """Add to a mask (D, H, W) what it encloses in each plane."""
    from scipy import ndimage

    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    regions, count = ndimage.label(~mask, in_plane)
    is_outside = np.zeros(count + 1, bool)
    for edge in (regions[:, 0], regions[:, -1], regions[:, :, 0], regions[:, :, -1]):
        is_outside[edge] = True
    return mask | ~is_outside[regions]


def compare_voxels(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return Dice and the relative error of the volume, from two masks; NaN where there is nothing to compare with."""
    volumes = prediction.sum(), target.sum()
    return {
        "dice": 2 * float((prediction & target).sum()) / float(sum(volumes)) if sum(volumes) else np.nan,
        "volume_error": float(volumes[0] / volumes[1] - 1) if volumes[1] else np.nan,
    }


@dataclass(frozen=True)
class Objects:
    """Connected voxels of a mask.

    Attributes
    ----------
    labels : ndarray
        Number of the object of each voxel, from 1; 0 for none, (D, H, W).
    volumes : ndarray
        Voxels of each object, (objects + 1,); the first entry is 0.
    """

    labels: np.ndarray
    volumes: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> "Objects":
        """Find the objects of a mask."""
        from scipy import ndimage

        labels, count = ndimage.label(mask)
        volumes = np.bincount(labels.ravel(), minlength=count + 1)
        volumes[0] = 0
        return cls(labels, volumes)

    @property
    def typical_volume(self) -> float:
        """Volume of the object that the middle voxel of all objects, sorted by volume, belongs to; 0 without one."""
        volumes = np.sort(self.volumes)
        return float(volumes[np.searchsorted(volumes.cumsum(), volumes.sum() / 2)])

    @cached_property
    def centres(self) -> np.ndarray:
        """Centre of each object in voxels, (objects + 1, 3); the first entry means nothing."""
        places = np.nonzero(self.labels)
        labels = self.labels[places]
        sums = [np.bincount(labels, place, minlength=len(self.volumes)) for place in places]
        return np.transpose(sums) / np.maximum(self.volumes, 1)[:, None]


def compare_objects(prediction: Objects, target: Objects, voxel_size_um: ZYX) -> dict[str, float]:
    """Count objects, and match those of the prediction with those of the target."""
    smallest = SMALLEST_SHARE * target.typical_volume
    known = [np.flatnonzero(objects.volumes > smallest) for objects in (prediction, target)]
    pairs = matches(prediction, target)
    pairs = pairs[np.isin(pairs[:, 0], known[0]) & np.isin(pairs[:, 1], known[1])]
    distances_um = (prediction.centres[pairs[:, 0]] - target.centres[pairs[:, 1]]) * voxel_size_um
    total = len(known[0]) + len(known[1])
    return {
        "count_target": float(len(known[1])),
        "count_prediction": float(len(known[0])),
        "object_f1": 2 * len(pairs) / total if total else np.nan,
        "centre_distance_um": float(np.linalg.norm(distances_um, axis=1).mean()) if len(pairs) else np.nan,
    }


def matches(prediction: Objects, target: Objects) -> np.ndarray:
    """Return the numbers of objects that match, (pairs, 2). An object is in one pair at most."""
    both = (prediction.labels > 0) & (target.labels > 0)
    # one number for each pair, as sorting numbers is faster than sorting pairs
    codes = prediction.labels[both].astype(np.int64) * len(target.volumes) + target.labels[both]
    found, shared = np.unique(codes, return_counts=True)
    pairs = np.stack(np.divmod(found, len(target.volumes)), axis=1)
    union = prediction.volumes[pairs[:, 0]] + target.volumes[pairs[:, 1]] - shared
    return pairs[shared > MATCHING_IOU * union]
