"""A layer of napari as an image: what its axes are, its voxel size, and where predictions of it lie.

Y and X are the last two axes of a layer, as napari shows them. What the others are, a layer rarely tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ssp_model.errors import InputError
from ssp_model.images.description import PixelSize, SceneInfo, Sizes, channel_names, pixel_size
from ssp_model.images.reader import Image, ImageFile
from ssp_model.log import counted

Kind = Literal["time", "channel", "z"]
NOUNS: dict[Kind, str] = {"time": "time point", "channel": "channel", "z": "plane"}

LABELS: dict[str, Kind] = {
    "t": "time", "time": "time", "frame": "time",
    "c": "channel", "ch": "channel", "channel": "channel",
    "z": "z", "depth": "z", "plane": "z",
}  # fmt: skip
"""What the labels mean that layers have for their axes."""

SKEWED = 1e-4
"""Cosine of the angle between two axes from which on a layer is sheared."""


@dataclass(frozen=True)
class Axes:
    """What the axes of a layer before Y and X are, in order.

    Attributes
    ----------
    kinds : tuple of str
        `time`, `channel` or `z`, each at most once. Without `z`, a layer is a single plane.
    """

    kinds: tuple[Kind, ...]

    def size(self, kind: Kind, shape: Sequence[int]) -> int:
        """Return the size of an axis in a layer of this shape; 1 if there is no such axis."""
        return shape[self.kinds.index(kind)] if kind in self.kinds else 1

    def text(self, shape: Sequence[int]) -> str:
        """Return what a layer of this shape holds: `2 time points, 3 channels, 20 planes`."""
        kinds = self.kinds if "z" in self.kinds else (*self.kinds, "z")
        return ", ".join(counted(self.size(kind, shape), NOUNS[kind]) for kind in kinds)


def possible_axes(num_axes: int) -> list[Axes]:
    """Return what the axes of a layer may be, the usual first."""
    return [Axes(kinds) for kinds in sorted(permutations(NOUNS, num_axes - 2), key=lambda kinds: "z" not in kinds)]


def known_axes(layer: Any) -> Axes | None:
    """Return what the axes of a layer are; None if only the user can say.

    The labels of the axes tell it. If none does, the only axis that is longer than 1 is taken for Z.
    """
    labels = [LABELS.get(label.strip().lower()) for label in layer.axis_labels[:-2]]
    kinds = tuple(kind for kind in labels if kind)
    if kinds or not labels:
        return Axes(kinds) if len(set(kinds)) == len(labels) else None
    shape = full_resolution(layer).shape
    long = [axis for axis in range(len(labels)) if shape[axis] > 1] or [len(labels) - 1]
    if len(long) > 1:
        return None
    others: list[Kind] = ["time", "channel"]
    return Axes(tuple("z" if axis == long[0] else others.pop(0) for axis in range(len(labels))))


def full_resolution(layer: Any) -> Any:
    """Return the array of a layer, of all levels the largest."""
    return layer.data[0] if layer.multiscale else layer.data


def refuse_unusable(layer: Any) -> None:
    """Refuse a layer that is no stack of intensities.

    Raises
    ------
    InputError
        It holds colours, has too many axes, does not end in Y and X, or is sheared.
    """
    name = title(layer.name)
    if layer.rgb:
        raise InputError(
            f"{name} holds colours, not intensities; right-click it, choose Split RGB, and take one of the new layers."
        )
    if layer.ndim > 5:
        raise InputError(
            f"{name} has {layer.ndim} axes; wanted are Y and X, and before them any of time, channel and Z: choose or "
            "make a layer with fewer axes."
        )
    labels = [label.strip().lower() for label in layer.axis_labels]
    if {"x", "y"} <= set(labels) and labels[-2:] != ["y", "x"]:
        raise InputError(
            f"{name} has the axes {', '.join(labels)}, but the last two should be y and x; transpose its array."
        )
    _spacing(layer)


def title(name: str) -> str:
    """Return what to call a layer in messages."""
    return f"Layer {name!r}"


def _spacing(layer: Any) -> np.ndarray:
    """Return the distance of two voxels along each axis of a layer, in its units.

    Raises
    ------
    InputError
        The layer is sheared, so that its voxels are no boxes.
    """
    origin = np.array(layer.data_to_world([0] * layer.ndim))
    steps = np.array([layer.data_to_world(step) for step in np.eye(layer.ndim)]) - origin
    lengths = np.linalg.norm(steps, axis=1)
    cosines = steps @ steps.T / np.outer(lengths, lengths) - np.eye(layer.ndim)
    if np.abs(cosines).max() > SKEWED:
        raise InputError(f"{title(layer.name)} is sheared, so its voxels are no boxes; resample it first.")
    scale = np.abs(layer.scale)
    # without the rounding errors of the transform
    return scale if np.allclose(lengths, scale, rtol=1e-6) else lengths


@dataclass(frozen=True)
class LayerSource:
    """What a prediction takes from a layer; later changes of the layer do not matter.

    Attributes
    ----------
    name : str
    data : array
        NumPy, Dask or Zarr: what napari takes.
    axes : Axes
    pixel_size : PixelSize
        In um.
    doubt : str
        What the user should know of the voxel size; empty if it is known.
    placement : dict
        Settings of napari that bring a prediction to the place of the layer.
    """

    name: str
    data: Any = field(repr=False)
    axes: Axes
    pixel_size: PixelSize
    doubt: str
    placement: dict[str, Any]

    @classmethod
    def of(cls, layer: Any, axes: Axes) -> Self:
        """Take what is needed from a layer.

        Raises
        ------
        InputError
            As for `refuse_unusable`.
        """
        refuse_unusable(layer)
        size = layer_pixel_size(layer, axes)
        return cls(layer.name, full_resolution(layer), axes, size, _doubt(layer, size), _placement(layer, axes))

    @property
    def num_times(self) -> int:
        """Number of time points."""
        return self.axes.size("time", self.data.shape)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Voxels of a channel at one time point."""
        y, x = self.data.shape[-2:]
        return self.axes.size("z", self.data.shape), y, x

    def image(
        self, time: int, voxel_size_um: Sizes | None = None, check_stop: Callable[[], None] = lambda: None
    ) -> Image:
        """Return a time point as an image, which is read when it is used.

        Parameters
        ----------
        time : int
        voxel_size_um : tuple of float or None, optional
            Z, Y, X, in place of what the layer says.
        check_stop : callable
            Called before each plane is read; what it raises ends the reading.
        """
        file = ImageFile(Path(self.name), title(self.name), _LayerFormat(self, check_stop))
        return file.image(0, time, voxel_size_um)

    def empty_prediction(self) -> np.ndarray:
        """Make the place for a prediction of all time points; NaN is nothing yet."""
        sizes = [1 if kind == "channel" else self.axes.size(kind, self.data.shape) for kind in _kept(self.axes)]
        return np.full((*sizes, *self.data.shape[-2:]), np.nan, np.float32)

    def put(self, predicted: np.ndarray, time: int, into: np.ndarray) -> None:
        """Put the prediction of a time point, (Z, Y, X), to its place in an array of `empty_prediction`."""
        numbers: dict[Kind, Any] = {"time": time, "channel": 0, "z": slice(None)}
        place = into[tuple(numbers[kind] for kind in _kept(self.axes))]
        place[:] = predicted.reshape(place.shape)


def layer_pixel_size(layer: Any, axes: Axes) -> PixelSize:
    """Return the voxel size of a layer in um, as far as its scale and units tell it.

    Raises
    ------
    InputError
        The layer is sheared.
    """
    spacing, units = _spacing(layer), [str(unit) for unit in layer.units]
    z = axes.kinds.index("z") if "z" in axes.kinds else None
    values = [None if z is None else float(spacing[z]), *map(float, spacing[-2:])]
    names = ["" if z is None else units[z], *units[-2:]]
    data = full_resolution(layer)
    return pixel_size(values, names, "scale and units", (axes.size("z", data.shape), *data.shape[-2:]))


def _doubt(layer: Any, size: PixelSize) -> str:
    """Return what the user should know of a voxel size that is not known; empty if it is."""
    if size.doubts:
        return f"Its scale and units say {', '.join(size.doubts)}, which no microscope has; type its voxel size."
    unknown = [axis for axis, um in zip("ZYX", size.um, strict=True) if not um]
    if not unknown:
        return ""
    text = f"No voxel size is known along {', '.join(unknown)}: it is resized there as the training images were."
    scale = layer.scale[-3:]
    if "X" in unknown and not np.allclose(scale, 1):
        text += f" Its scale {', '.join(f'{size:g}' for size in scale)} has no unit: type it if it is in um."
    return text


def _kept(axes: Axes) -> tuple[Kind, ...]:
    """Return the axes that a prediction has before Y and X.

    Napari counts axes from the last one, so only the first axis can be left out without moving others. A channel axis
    in another place stays, with one channel.
    """
    return axes.kinds[1:] if axes.kinds[:1] == ("channel",) else axes.kinds


def _placement(layer: Any, axes: Axes) -> dict[str, Any]:
    first = len(axes.kinds) - len(_kept(axes))
    scale, translate = np.array(layer.scale), np.array(layer.translate)
    if "channel" in _kept(axes):
        # one channel, as long as all those of the layer: it is shown with each of them
        channel, count = axes.kinds.index("channel"), axes.size("channel", full_resolution(layer).shape)
        translate[channel] += scale[channel] * (count - 1) / 2
        scale[channel] *= count
    return {
        "scale": scale[first:],
        "translate": translate[first:],
        "rotate": np.array(layer.rotate)[first:, first:],
        "affine": layer.affine.affine_matrix[first:, first:],
        "units": layer.units[first:],
        "axis_labels": layer.axis_labels[first:],
    }


class _LayerFormat:
    """A "file" of one scene: the channels and time points of a layer."""

    name = "layer"

    def __init__(self, source: LayerSource, check_stop: Callable[[], None]) -> None:
        shape, axes = source.data.shape, source.axes
        names = channel_names((), axes.size("channel", shape))
        dtype = np.dtype(source.data.dtype)
        self.scenes = [SceneInfo("", source.num_times, names, source.shape_zyx, dtype, source.pixel_size)]
        self._source, self._check_stop = source, check_stop
        self._block: tuple[tuple[int, int, range], np.ndarray] | None = None

    def plane(self, scene: int, time: int, channel: int, z: int) -> np.ndarray:
        self._check_stop()
        if self._block is None or self._block[0][:2] != (time, channel) or z not in self._block[0][2]:
            self._block = None
            self._block = self._read(time, channel, z)
        (_, _, planes), block = self._block
        return block[z - planes.start]

    def _read(self, time: int, channel: int, z: int) -> tuple[tuple[int, int, range], np.ndarray]:
        """Read all planes that are stored together with a plane."""
        axes, data = self._source.axes, self._source.data
        planes = stored_together(data, axes.kinds.index("z"), z) if "z" in axes.kinds else range(1)
        numbers = {"time": time, "channel": channel, "z": slice(planes.start, planes.stop)}
        block = np.asarray(data[tuple(numbers[kind] for kind in axes.kinds)])
        return (time, channel, planes), block.reshape(len(planes), *block.shape[-2:])

    def missing(self, scene: int, time: int, channel: int) -> list[int]:
        return []

    def covered(self, scene: int, time: int, channel: int) -> None:
        return None

    def close(self) -> None:
        """Do nothing."""


def stored_together(data: Any, axis: int, number: int) -> range:
    """Return the planes along an axis that an array stores in one chunk with a plane; that plane alone without chunks.

    To read them one by one would read (or compute) the chunk again for each.
    """
    chunks = getattr(data, "chunks", None)
    if not chunks:
        return range(number, number + 1)
    sizes = chunks[axis]
    if isinstance(sizes, int):
        start = number // sizes * sizes
        return range(start, min(start + sizes, data.shape[axis]))
    ends = np.cumsum(sizes).tolist()
    end = next(end for end in ends if number < end)
    return range(end - sizes[ends.index(end)], end)
