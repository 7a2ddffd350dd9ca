"""OME-Zarr 0.5 (Zarr v3), written: for napari, Fiji, and for images that are read over a network.

bioio-ome-zarr's writer is not used. Its smaller levels are single pixels instead of means, with wrong scales for odd
sizes, and plane by plane it would compress a whole shard again for each plane.

Chunks are parts of single planes. A shard is one file with the chunks of many planes, so that a large image does not
become tens of thousands of files. Memory holds the planes of one shard for each level.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.images.ome_output import (
    PROJECT_KEY,
    UINT16_STEPS,
    OmeContent,
    naming_a_full_disk,
    pyramid,
    stored_planes,
)

if TYPE_CHECKING:
    import zarr

CHUNK = 512
"""Most pixels of a chunk along Y and X."""

SHARD_BYTES = 2**25
"""Uncompressed bytes of the planes in one file. A plane that is larger is a file of its own."""

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write_ome_zarr(path: str | Path, planes: Iterable[np.ndarray], content: OmeContent) -> None:
    """Write an OME-Zarr plane by plane: chunked, sharded, compressed, with smaller levels of large planes.

    The attributes of the group hold provenance and the mappings of intensities under the key `ssp_model`.

    Parameters
    ----------
    path : path
        Folder to write. An older output of this function is replaced.
    planes : iterable of ndarray
        Standardised intensities, (Y, X) each, in the order T, C, Z with Z fastest.
    content : OmeContent

    Raises
    ------
    ValueError
        There are more or fewer planes than `content` has, or one has another shape. No folder is left.
    InputError
        At `path` is something that this function has not written, the disk is full, or a plane has values that are not
        finite. No folder is left.
    """
    # it takes half a second to import
    import zarr

    path = Path(path)
    check_replaceable(path)
    with naming_a_full_disk(path), replacing(path) as temporary:
        root = zarr.create_group(temporary, zarr_format=3)
        levels = [_Level(root, number, content) for number in range(len(content.level_shapes))]
        ranges = _Ranges(content.shape[1])
        for t, c, z, plane in stored_planes(planes, content):
            ranges.add(c, plane)
            for level, pixels in zip(levels, pyramid(plane, len(levels)), strict=True):
                level.write(pixels, t, c, z)
        root.attrs.update({"ome": _ome_attributes(content, path.name, ranges), PROJECT_KEY: _own_attributes(content)})
        if path.is_dir():
            shutil.rmtree(path)


def check_replaceable(path: Path) -> None:
    """Refuse a path that holds anything but an older output of `write_ome_zarr`."""
    if path.exists() and not _is_own(path):
        raise InputError(
            f"{path} exists and is not an OME-Zarr that this program has written; choose another name for the output, "
            "or remove it yourself."
        )


def _is_own(path: Path) -> bool:
    try:
        metadata = json.loads((path / "zarr.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(metadata, dict) and PROJECT_KEY in metadata.get("attributes", {})


class _Level:
    """A level of the pyramid: an array, and the planes of its next shard."""

    def __init__(self, root: "zarr.Group", number: int, content: OmeContent) -> None:
        from zarr.codecs import BloscCodec, BloscShuffle

        shape = (*content.shape[:3], *content.level_shapes[number])
        chunk = tuple(_even_part(size, CHUNK) for size in shape[3:])
        num_chunks = [-(-size // part) for size, part in zip(shape[3:], chunk, strict=True)]
        depth = _even_part(shape[2], max(SHARD_BYTES // (shape[3] * shape[4] * content.dtype.itemsize), 1))
        self._array = root.create_array(
            str(number),
            shape=shape,
            dtype=content.dtype,
            chunks=(1, 1, 1, *chunk),
            shards=(1, 1, depth, *(part * num for part, num in zip(chunk, num_chunks, strict=True))),
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
            dimension_names=list(AXIS_TYPES),
        )
        self._planes = np.empty((depth, *shape[3:]), content.dtype)

    def write(self, plane: np.ndarray, t: int, c: int, z: int) -> None:
        """Keep a plane, and write the shard if the plane is its last."""
        index = z % len(self._planes)
        self._planes[index] = plane
        if index + 1 == len(self._planes) or z + 1 == self._array.shape[2]:
            self._array[t, c, z - index : z + 1] = self._planes[: index + 1]


def _even_part(size: int, longest: int) -> int:
    """Return the length of equal parts of a size, none longer than `longest`; the last part may be shorter."""
    num_parts = -(-size // longest)
    return -(-size // num_parts)


class _Ranges:
    """The lowest and highest stored value of each channel."""

    def __init__(self, num_channels: int) -> None:
        self.low = np.full(num_channels, np.inf)
        self.high = np.full(num_channels, -np.inf)

    def add(self, channel: int, plane: np.ndarray) -> None:
        self.low[channel] = min(self.low[channel], plane.min())
        self.high[channel] = max(self.high[channel], plane.max())


def _ome_attributes(content: OmeContent, name: str, ranges: _Ranges) -> dict[str, Any]:
    """Return the metadata that OME-Zarr 0.5 asks for."""
    multiscale = {
        "name": name,
        "axes": _axes(content),
        "datasets": [
            {"path": str(number), "coordinateTransformations": _transformations(content, number)}
            for number in range(len(content.level_shapes))
        ],
        "type": "mean",
        "metadata": {"description": "each pixel of a level is the mean of 2 x 2 pixels (Y, X) of the level before"},
    }
    channels = [
        {"label": label, "color": colour, "active": True, "window": _window(content, c, ranges)}
        for c, (label, colour) in enumerate(zip(content.channel_names, content.colours, strict=True))
    ]
    return {"version": "0.5", "multiscales": [multiscale], "omero": {"channels": channels}}


def _axes(content: OmeContent) -> list[dict[str, str]]:
    """Return the axes. An axis whose size is not known has no unit."""
    sizes = (content.time_step_s, None, *content.sizes_um)
    units = ("second", "", "micrometer", "micrometer", "micrometer")
    return [
        {"name": name, "type": kind} | ({} if size is None else {"unit": unit})
        for (name, kind), size, unit in zip(AXIS_TYPES.items(), sizes, units, strict=True)
    ]


def _transformations(content: OmeContent, level: int) -> list[dict[str, Any]]:
    """Return the scale of a level, and the offset of its first pixel, which is the mean of several pixels."""
    sizes = [1.0 if size is None else float(size) for size in (content.time_step_s, None, *content.sizes_um)]
    factors = [1, 1, 1, 2**level, 2**level]
    scale = [size * factor for size, factor in zip(sizes, factors, strict=True)]
    offset = [size * (factor - 1) / 2 for size, factor in zip(sizes, factors, strict=True)]
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if level:
        transformations.append({"type": "translation", "translation": offset})
    return transformations


def _window(content: OmeContent, c: int, ranges: _Ranges) -> dict[str, float]:
    """Return the range of a channel's stored values, and the part of it that viewers show."""
    low, high = (0.0, float(UINT16_STEPS)) if content.mappings else (float(ranges.low[c]), float(ranges.high[c]))
    start, end = content.contrast_limits[c] if content.contrast_limits else (ranges.low[c], ranges.high[c])
    return {"min": low, "max": high, "start": float(start), "end": float(end)}


def _own_attributes(content: OmeContent) -> dict[str, Any]:
    """Return provenance, and for uint16 each channel's mapping: standardised = offset + step * stored value."""
    own: dict[str, Any] = {"provenance": dict(content.provenance)}
    if content.mappings:
        own["intensities"] = [
            {"offset": float(mapping.offset), "step": float(mapping.step)} for mapping in content.mappings
        ]
    return own
