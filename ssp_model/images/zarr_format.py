"""OME-Zarr 0.4 and 0.5, by zarr: a folder or a zip; single images, series and plates.

Only the highest resolution is read. A chunk that is not stored means zeros in Zarr, so a plane without any chunk counts
as missing.
"""

import itertools
import math
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
import zarr.core.sync
import zarr.storage

from ssp_model.errors import InputError
from ssp_model.images.description import SceneInfo, channel_names, pixel_size, to_number

TYPES = {"time": "T", "channel": "C"}

SLAB_BYTES = 2**26
"""Planes of one chunk are decoded together, as many as fit in here."""


class Series(NamedTuple):
    """One image of the store: its name, its array, and the letters of its axes."""

    name: str
    array: zarr.Array
    axes: str
    units: list[str]
    scale: list[float]
    channel_names: list[str]

    def place(self, time: int, channel: int, z: int | slice) -> tuple[int | slice, ...]:
        """Return the index of a plane, or of several."""
        of = {"T": time, "C": channel, "Z": z}
        return tuple(of.get(axis, slice(None)) for axis in self.axes)

    def slab(self, z: int) -> tuple[int, int]:
        """Return the first and last plane, and one, of those to decode with a plane: a part of its chunk."""
        if "Z" not in self.axes:
            return 0, 1
        size, chunk = (of[self.axes.index("Z")] for of in (self.array.shape, self.array.chunks))
        plane_bytes = math.prod(self.array.shape[self.axes.index(axis)] for axis in "YX") * self.array.dtype.itemsize
        depth = min(chunk, max(SLAB_BYTES // plane_bytes, 1))
        chunk_start = z // chunk * chunk
        start = chunk_start + (z - chunk_start) // depth * depth
        return start, min(start + depth, chunk_start + chunk, size)

    def chunks(self, index: tuple[int | slice, ...]) -> Iterator[tuple[int, ...]]:
        """Yield the places of the chunks that a plane lies in."""
        chunks = self.array.shards or self.array.chunks
        return itertools.product(
            *(
                range(math.ceil(size / chunk)) if isinstance(at, slice) else (at // chunk,)
                for size, chunk, at in zip(self.array.shape, chunks, index, strict=True)
            )
        )


class ZarrFormat:
    """An OME-Zarr, opened."""

    def __init__(self, path: Path) -> None:
        self._store = _open_store(path)
        self._slab: tuple[tuple[int, ...], np.ndarray] | None = None
        try:
            root = _group_of(self._store)
            self._series = [_series(group, name) for name, group in _images(root)]
            if not self._series:
                raise InputError(f"{path} is a Zarr without an OME image in it; give an OME-Zarr.")
            self.name = f"OME-Zarr {'0.5' if 'ome' in root.attrs else '0.4'}"
            self.scenes = [_describe(series) for series in self._series]
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def covered(self, scene: int, time: int, channel: int) -> None:
        """Return None: a Zarr has no gaps between tiles."""

    def plane(self, scene: int, time: int, channel: int, z: int) -> np.ndarray:
        """Return a plane, (Y, X)."""
        start, stop = self._series[scene].slab(z)
        place = scene, time, channel, start
        if self._slab is None or self._slab[0] != place:
            self._slab = None  # two at once would take twice the memory
            self._slab = place, self._planes(scene, time, channel, slice(start, stop))
        return self._slab[1][z - start]

    def _planes(self, scene: int, time: int, channel: int, z: slice) -> np.ndarray:
        """Return some planes, (Z, Y, X)."""
        series = self._series[scene]
        planes = np.asarray(series.array[series.place(time, channel, z)])
        axes = [axis for axis in series.axes if axis in "ZYX"]
        if "Z" not in axes:
            planes, axes = planes[None], ["Z", *axes]
        return planes.transpose([axes.index(axis) for axis in "ZYX"])

    def missing(self, scene: int, time: int, channel: int) -> list[int]:
        """Return the Z of planes of which no chunk is stored."""
        series = self._series[scene]
        # a chunk may hold many planes
        has = cache(partial(self._has, series.array))
        return [
            z
            for z in range(self.scenes[scene].shape_zyx[0])
            if not any(map(has, series.chunks(series.place(time, channel, z))))
        ]

    def _has(self, array: zarr.Array, place: tuple[int, ...]) -> bool:
        key = f"{array.store_path.path}/{array.metadata.encode_chunk_key(place)}".lstrip("/")
        return bool(zarr.core.sync.sync(self._store.exists(key)))


def _open_store(path: Path) -> Any:
    if path.is_dir():
        return zarr.storage.LocalStore(path, read_only=True)
    store = zarr.storage.ZipStore(path, read_only=True)
    store._sync_open()
    # a zip may hold the image's folder and not its content
    names = store._zf.namelist()
    if not any(name in ("zarr.json", ".zattrs", ".zgroup") for name in names):
        inner = sorted(name for name in names if name.endswith(("/zarr.json", "/.zattrs")))
        if not inner:
            store.close()
            raise InputError(f"{path} is a zip archive without an OME-Zarr in it; unpack it.")
    return store


def _group_of(store: Any) -> zarr.Group:
    """Return the topmost group; in a zip it may lie in a folder."""
    try:
        return zarr.open_group(store, mode="r")
    except (FileNotFoundError, zarr.errors.GroupNotFoundError):
        if not isinstance(store, zarr.storage.ZipStore):
            raise
    names = [name for name in store._zf.namelist() if name.endswith(("/zarr.json", "/.zattrs", "/.zgroup"))]
    shortest = min(names, key=lambda name: (name.count("/"), name))
    return zarr.open_group(store, mode="r", path=shortest.rpartition("/")[0])


def _ome(group: zarr.Group) -> dict[str, Any]:
    """Return the OME metadata of a group; version 0.5 has them one level down."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, dict) else {}


def _images(root: zarr.Group) -> Iterator[tuple[str, zarr.Group]]:
    """Yield the images of a store with their names: a single one, a collection's series, a plate's fields."""
    metadata = _ome(root)
    if "multiscales" in metadata:
        yield str(metadata["multiscales"][0].get("name") or ""), root
    elif "plate" in metadata:
        for well in metadata["plate"]["wells"]:
            for field in _ome(_inner(root, well["path"]))["well"]["images"]:
                yield f"{well['path']}/{field['path']}", _inner(root, f"{well['path']}/{field['path']}")
    elif "well" in metadata:
        for field in metadata["well"]["images"]:
            yield field["path"], _inner(root, field["path"])
    else:
        # the layout of bioformats2raw: series by number, their names in OME-XML
        series = _ome(_inner(root, "OME")).get("series") if "OME" in root else None
        paths = series or sorted((name for name in root.group_keys() if name.isdecimal()), key=int)
        for path in paths:
            group = _inner(root, path)
            if "multiscales" in _ome(group):
                yield str(_ome(group)["multiscales"][0].get("name") or path), group


def _inner(group: zarr.Group, path: str) -> zarr.Group:
    inner = group[path]
    if not isinstance(inner, zarr.Group):
        raise ValueError(f"{path} is not a group")
    return inner


def _series(group: zarr.Group, name: str) -> Series:
    metadata = _ome(group)
    image = metadata["multiscales"][0]
    array = group[image["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise ValueError(f"{image['datasets'][0]['path']} is not an array")
    axes = image.get("axes") or [{"name": letter} for letter in "tczyx"[-array.ndim :]]
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in axes]
    letters = "".join(TYPES.get(axis.get("type", ""), str(axis["name"]).upper()[:1]) for axis in axes)
    if len(letters) != array.ndim or len(set(letters)) < len(letters) or not set("YX") <= set(letters) <= set("TCZYX"):
        raise ValueError(f"its axes {[axis['name'] for axis in axes]} are not those of time, channel, Z, Y and X")
    scale = [1.0] * array.ndim
    has_scale = False
    for transform in [
        *image["datasets"][0].get("coordinateTransformations", ()),
        *image.get("coordinateTransformations", ()),
    ]:
        if transform.get("type") == "scale":
            has_scale = True
            if len(transform["scale"]) != array.ndim:
                raise ValueError(f"its scale {transform['scale']} has not one number for each of its {array.ndim} axes")
            scale = [a * to_number(b) for a, b in zip(scale, transform["scale"], strict=True)]
    # without a unit, a scale is relative: that of voxels that have no known size
    units = [str(axis.get("unit") or "") if has_scale else "" for axis in axes]
    omero = metadata.get("omero", dict(group.attrs).get("omero", {})) or {}
    labels = [str(channel.get("label") or "") for channel in omero.get("channels", ())]
    return Series(name, array, letters, units, scale, labels)


def _describe(series: Series) -> SceneInfo:
    sizes = {**dict.fromkeys("TCZYX", 1), **dict(zip(series.axes, series.array.shape, strict=True))}
    shape = (sizes["Z"], sizes["Y"], sizes["X"])
    scale = dict(zip(series.axes, series.scale, strict=True))
    units = dict(zip(series.axes, series.units, strict=True))
    compressors = getattr(series.array, "compressors", ()) or ()
    return SceneInfo(
        name=series.name,
        num_times=sizes["T"],
        channel_names=channel_names(series.channel_names, sizes["C"]),
        shape_zyx=shape,
        dtype=np.dtype(series.array.dtype),
        pixel_size=pixel_size(
            [scale.get(axis) for axis in "ZYX"], [units.get(axis, "") for axis in "ZYX"], "OME-Zarr metadata", shape
        ),
        compression=", ".join(type(compressor).__name__.removesuffix("Codec").lower() for compressor in compressors),
    )
