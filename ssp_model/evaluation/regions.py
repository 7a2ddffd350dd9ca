"""Regions where a prediction is most wrong, among all test images of a structure.

A mean error hides what matters most to a person who trusts a prediction: what is invented, and what is missed. A region
is a box. Its error is a weighted mean, most of all of its middle (a Gaussian as wide as the box), of

- invented: how much brighter the prediction is than the target, where the target has nothing;
- missed: how much darker the prediction is than the target, where the target has something.

Differences are smoothed first, so that the target's noise does not count. The target has something where it is above
its own threshold (Otsu 1979).

Shapes: D H W voxels.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from ssp_model.config.schema import ZYX
from ssp_model.evaluation.panel import Pair
from ssp_model.files import replacing
from ssp_model.images.description import Voxels

KINDS = ("invented", "missed")

NUM_KEPT = 4
"""Regions of each kind that are kept."""

BOX_UM = (2.5, 7.0, 7.0)
"""Size of a region, Z, Y, X; about a large organelle."""

SMOOTHED_UM = 0.9
"""Size of the box over which differences are smoothed."""

SMALLEST_ERROR = 0.01
"""Error, in standard deviations of the target, below which a region is not shown."""

UNKNOWN_VOXEL_UM = (0.29, 0.29, 0.29)
"""Voxel size that sizes of boxes are meant for where it is not known."""


@dataclass(frozen=True, order=True)
class Region:
    """A region with large error.

    Attributes
    ----------
    error : float
        Its error in standardised intensities.
    image : str
    middle : tuple of int
        Voxel in its middle, Z, Y, X.
    planes : ndarray
        Signal, target and prediction in the plane of the middle, twice as wide as the region, (3, H, W). At the
        image's border, the region is not in the middle.
    """

    error: float
    image: str
    middle: tuple[int, int, int]
    planes: np.ndarray = field(compare=False, repr=False)


class WorstRegions:
    """The worst regions of a structure's test images."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Region]] = {kind: [] for kind in KINDS}

    def add(self, image: str, signal: Voxels, pair: Pair) -> None:
        """Look for the worst regions of an image."""
        voxel_size_um = pair.voxel_size_um or UNKNOWN_VOXEL_UM
        for kind, error in errors(pair, voxel_size_um).items():
            kept = self._kept[kind]
            for value, middle in peaks(error, box(BOX_UM, voxel_size_um)):
                if len(kept) == NUM_KEPT and value <= kept[0].error:
                    break
                planes = cut_out((signal, pair.target, pair.prediction), middle, voxel_size_um)
                heapq.heappush(kept, Region(value, image, middle, planes))
                if len(kept) > NUM_KEPT:
                    heapq.heappop(kept)

    def write(self, path: str | Path) -> None:
        """Write the regions to an HDF5 file: a group for each kind, in it a dataset for each region, worst first."""
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            for kind, kept in self._kept.items():
                group = file.create_group(kind)
                for rank, region in enumerate(sorted(kept, reverse=True), start=1):
                    group[f"{rank}"] = region.planes
                    group[f"{rank}"].attrs.update(image=region.image, middle=region.middle, error=region.error)


def read_regions(path: str | Path) -> dict[str, list[Region]]:
    """Read what `WorstRegions.write` wrote: by kind, worst first."""
    with h5py.File(path) as file:
        return {kind: [_read(file[kind][rank]) for rank in sorted(file[kind], key=int)] for kind in KINDS}


def _read(dataset: h5py.Dataset) -> Region:
    z, y, x = (int(place) for place in dataset.attrs["middle"])
    return Region(float(dataset.attrs["error"]), str(dataset.attrs["image"]), (z, y, x), dataset[()])


def box(size_um: ZYX, voxel_size_um: ZYX) -> tuple[int, int, int]:
    """Return the size of a box in voxels, odd along each axis."""
    depth, height, width = (
        2 * round((size / voxel - 1) / 2) + 1 for size, voxel in zip(size_um, voxel_size_um, strict=True)
    )
    return max(depth, 1), max(height, 1), max(width, 1)


def errors(pair: Pair, voxel_size_um: ZYX) -> dict[str, np.ndarray]:
    """Return for each voxel the error of the region around it, (D, H, W), by kind."""
    from scipy.ndimage import gaussian_filter, uniform_filter
    from skimage.filters import threshold_otsu

    small = box((SMOOTHED_UM,) * 3, voxel_size_um)
    prediction, target = (uniform_filter(image, small) for image in (pair.prediction, pair.target))
    if np.ptp(target) < 1e-6:
        return {}
    has_something = target > threshold_otsu(target)
    difference = prediction - target
    of_voxels = {
        "invented": np.where(has_something, 0, difference).clip(min=0),
        "missed": np.where(has_something, -difference, 0).clip(min=0),
    }
    # a box has the standard deviation of a Gaussian whose sigma is its size / sqrt(12)
    sigma = [size / np.sqrt(12) for size in box(BOX_UM, voxel_size_um)]
    return {kind: gaussian_filter(error, sigma, truncate=2) for kind, error in of_voxels.items()}


def peaks(error: np.ndarray, size: tuple[int, int, int]) -> Iterator[tuple[float, tuple[int, int, int]]]:
    """Yield the largest values and their voxels, one after another; regions do not overlap."""
    left = error.copy()
    while True:
        z, y, x = (int(place) for place in np.unravel_index(left.argmax(), left.shape))
        if not left[z, y, x] > SMALLEST_ERROR:
            return
        yield float(left[z, y, x]), (z, y, x)
        left[tuple(slice(max(i - n + 1, 0), i + n) for i, n in zip((z, y, x), size, strict=True))] = 0


def cut_out(volumes: tuple[Voxels, ...], middle: tuple[int, int, int], voxel_size_um: ZYX) -> np.ndarray:
    """Return the plane of a region in each volume, twice as wide as the region; less if the image is smaller.

    At the image's border, the region is not in the middle.
    """
    z, *others = middle
    window = []
    for place, size, there in zip(others, box(BOX_UM, voxel_size_um)[1:], volumes[0].shape[1:], strict=True):
        wanted = 2 * size + 1
        start = max(min(place - size, there - wanted), 0)
        window.append(slice(start, start + wanted))
    return np.stack([volume[(z, *window)] for volume in volumes])
