"""TIFF of all kinds, by tifffile: OME-TIFF with the other files of its set, ImageJ, LSM, plain stacks.

What tifffile passes over is caught here: units, planes that are missing, files that are cut off.
"""

import logging
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ssp_model.errors import InputError
from ssp_model.images.description import PixelSize, SceneInfo, channel_names, pixel_size, to_number

KINDS = {"ome": "OME-TIFF", "imagej": "ImageJ TIFF", "lsm": "LSM", "mmstack": "Micro-Manager TIFF"}

DAMAGE = re.compile(r"invalid|corrupt|failed|missing|truncat", re.IGNORECASE)
"""In a message of tifffile: the file is not whole, though tifffile goes on."""

PER_UNIT = {2: "inch", 3: "cm"}
"""The unit of a TIFF's resolution, by its tag."""


class TiffFormat:
    """A TIFF file, opened."""

    def __init__(self, path: Path) -> None:
        with ExitStack() as stack:
            with _damage_is_an_error():
                self._file = stack.enter_context(tifffile.TiffFile(path))
            self._read_metadata(path)
            stack.pop_all()

    def _read_metadata(self, path: Path) -> None:
        ome = self._file.ome_metadata
        if ome:
            _refuse_files_elsewhere(ome)
        with _damage_is_an_error():
            # reading all series also finds all pages, and opens the other files of a set
            self._series = [series for series in self._file.series if not series.keyframe.is_reduced]
            num_pages = len(self._file.pages)
        self._size = path.stat().st_size
        kind = self._series[0].kind if self._series else ""
        self.name = KINDS.get(kind, "TIFF")
        if ome and kind != "ome":
            raise InputError(_not_whole(path, ome, num_pages))
        images = _ome_images(ome) if ome else []
        self._axes = [_Axes(series) for series in self._series]
        self.scenes = [
            self._scene(series, axes, images[i] if i < len(images) else None)
            for i, (series, axes) in enumerate(zip(self._series, self._axes, strict=True))
        ]
        if not self.scenes:
            raise ValueError("it holds no image")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def covered(self, scene: int, time: int, channel: int) -> None:
        """Return None: a TIFF has no gaps between tiles."""

    def plane(self, scene: int, time: int, channel: int, z: int) -> np.ndarray:
        """Return a plane, (Y, X), or (Y, X, samples) in colour."""
        series, axes = self._series[scene], self._axes[scene]
        index = axes.index({"T": time, "C": channel, "Z": z})
        if self._is_contiguous(series, axes):
            return self._contiguous(series, axes, index)
        page: Any = series.pages[axes.page(index)]
        with _opened(page), _damage_is_an_error():
            return axes.cut(page.asarray(squeeze=False), index)

    def missing(self, scene: int, time: int, channel: int) -> list[int]:
        """Return the Z of planes that the file does not hold, or not whole."""
        series, axes = self._series[scene], self._axes[scene]
        missing = []
        for z in range(axes.sizes["Z"]):
            number = axes.page(axes.index({"T": time, "C": channel, "Z": z}))
            if self._is_contiguous(series, axes):
                whole = self._start(series, axes, number + 1) <= self._size
            else:
                page = series.pages[number]
                whole = page is not None and _is_whole(page)
            if not whole:
                missing.append(z)
        return missing

    @staticmethod
    def _is_contiguous(series: tifffile.TiffPageSeries, axes: "_Axes") -> bool:
        """Whether all planes lie in one piece, so that no page need be looked up."""
        return series.dataoffset is not None and axes.in_page == axes.in_page_plain

    @staticmethod
    def _start(series: tifffile.TiffPageSeries, axes: "_Axes", number: int) -> int:
        """Return where in the file a plane of such a series starts."""
        return int(series.dataoffset or 0) + number * math.prod(axes.plane_shape) * np.dtype(series.dtype).itemsize

    def _contiguous(self, series: tifffile.TiffPageSeries, axes: "_Axes", index: dict[str, int]) -> np.ndarray:
        dtype = np.dtype(series.dtype).newbyteorder(self._file.byteorder)
        first: Any = series.pages[0]
        handle = first.parent.filehandle
        handle.seek(self._start(series, axes, axes.page(index)))
        plane = handle.read_array(dtype, math.prod(axes.plane_shape))
        return axes.cut(plane.astype(dtype.newbyteorder("="), copy=False), index)

    def _scene(self, series: tifffile.TiffPageSeries, axes: "_Axes", ome: "ElementTree.Element | None") -> SceneInfo:
        sizes = axes.sizes
        shape = (sizes["Z"], sizes["Y"], sizes["X"])
        num_channels = sizes["C"]
        names: list[str] = []
        if ome is not None:
            names = [element.get("Name") or "" for element in ome.findall("{*}Pixels/{*}Channel")]
            size = _ome_size(ome, shape)
        elif series.kind == "imagej":
            size = _imagej_size(self._file, shape)
            labels = (self._file.imagej_metadata or {}).get("Labels")
            names = list(labels) if isinstance(labels, list) and len(labels) == num_channels else []
        elif series.kind == "lsm":
            size = _lsm_size(self._file, shape)
        else:
            size = _resolution_size(self._file, shape)
        compression = tifffile.COMPRESSION(series.keyframe.compression)
        return SceneInfo(
            name=(ome.get("Name") or "" if ome is not None else ""),
            num_times=sizes["T"],
            channel_names=channel_names(names, num_channels),
            shape_zyx=shape,
            dtype=np.dtype(series.dtype),
            pixel_size=size,
            compression="" if compression == tifffile.COMPRESSION.NONE else compression.name.lower(),
            colour_channels=frozenset(range(num_channels) if sizes["S"] > 1 else ()),
            notes=axes.notes,
        )


class _Axes:
    """How the planes of a series lie in its pages.

    Attributes
    ----------
    sizes : dict
        Of T, C, Z, Y, X and S (samples of a colour).
    in_page : str
        Axes within a page; the others lead from page to page.
    """

    def __init__(self, series: tifffile.TiffPageSeries) -> None:
        axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
        axes, self.notes = _known_axes(axes, shape)
        self.sizes = {**dict.fromkeys("TCZYXS", 1), **dict(zip(axes, shape, strict=True))}
        # the page's axes are the last of the series: as many as hold its pixels
        in_page = min(axes.index("Y"), axes.index("X"))
        while in_page and math.prod(shape[in_page:]) < series.keyframe.size:
            in_page -= 1
        self._leading, self.in_page = axes[:in_page], axes[in_page:]
        self.in_page_plain = "YXS" if axes.endswith("S") else "YX"

    @property
    def plane_shape(self) -> tuple[int, ...]:
        return tuple(self.sizes[axis] for axis in self.in_page)

    def index(self, of: dict[str, int]) -> dict[str, int]:
        return {axis: of.get(axis, 0) for axis in self.sizes}

    def page(self, index: dict[str, int]) -> int:
        """Return the number of the page that a plane lies in."""
        number = 0
        for axis in self._leading:
            number = number * self.sizes[axis] + index[axis]
        return number

    def cut(self, page: np.ndarray, index: dict[str, int]) -> np.ndarray:
        """Return one plane of a page, (Y, X) or (Y, X, samples)."""
        page = page.reshape(self.plane_shape)
        page = page[tuple(slice(None) if axis in "YXS" else index[axis] for axis in self.in_page)]
        left = [axis for axis in self.in_page if axis in "YXS"]
        if "S" not in left:
            return page
        page = np.moveaxis(page, left.index("S"), -1)
        return page if page.shape[-1] > 1 else page[..., 0]


def _known_axes(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[str, ...]]:
    """Name the axes that a file leaves without a name, from the last to the first: Z, C, T."""
    unknown = [i for i, axis in enumerate(axes) if axis not in "TCZYXS"]
    free = [axis for axis in "ZCT" if axis not in axes]
    named = list(axes)
    guessed = ""
    # axes of one entry come last: they need no name
    for i in sorted(unknown, key=lambda i: (shape[i] == 1, -i)):
        if shape[i] > 1 and (not free or axes[i] not in "QIO"):
            raise InputError(f"it has an axis {axes[i]} of {shape[i]}, besides {axes}, which is not time, channel or Z")
        if not free:
            raise InputError(f"it has more axes than time, channel, Z, Y and X: {axes}")
        named[i] = free.pop(0)
        guessed += named[i] if shape[i] > 1 else ""
    notes = (f"its axes are not named; they are taken for {guessed[::-1]}YX",) if len(guessed) > 1 else ()
    return "".join(named), notes


@contextmanager
def _damage_is_an_error() -> Iterator[None]:
    """Raise what tifffile only logs: that a file is not whole."""
    records: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("tifffile")
    propagate, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
    for message in records:
        if found := re.search(r"failed to read '(.+?)', raised FileNotFoundError", message):
            raise InputError(
                f"it is one file of a set, and {found[1]} of the set is not beside it; put all files into one folder"
            )
        if DAMAGE.search(message):
            raise ValueError("it is damaged or cut off; copy it again")


@contextmanager
def _opened(page: Any) -> Iterator[None]:
    """Open the file of a page for as long as it is read: a set may have more files than can be open."""
    handle = page.parent.filehandle
    was_closed = handle.closed
    if was_closed:
        handle.open()
    try:
        yield
    finally:
        if was_closed:
            handle.close()


def _is_whole(page: Any) -> bool:
    size = page.parent.filehandle.size
    return all(
        count > 0 and offset + count <= size
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    )


def _refuse_files_elsewhere(xml: str) -> None:
    """Refuse a set whose other files are not in the folder of this one: whoever made the file must not choose them."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return
    for name in (uuid.get("FileName", "") for uuid in root.iter() if uuid.tag.endswith("UUID")):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"it is one file of a set, and {name} of the set is in another folder; put all into one")


def _ome_images(xml: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(xml).findall("{*}Image")


def _not_whole(path: Path, xml: str, num_pages: int) -> str:
    """Say why the planes of an OME-TIFF are not those that its metadata tell of."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        return f"{path} has OME metadata that can't be read ({error}); copy or save it again."
    main = root.find("{*}BinaryOnly")
    if main is not None:
        return (
            f"{path} is one file of a set that {main.get('MetadataFile')} describes; save the set as one OME-TIFF each "
            "image."
        )
    planes = 0
    for pixels in root.findall("{*}Image/{*}Pixels"):
        planes += math.prod(int(pixels.get(f"Size{axis}", "1")) for axis in "TCZ")
    return (
        f"{path} is cut off or damaged: its metadata tell of {planes} planes, but {num_pages} are in the file; copy it "
        "again."
    )


def _ome_size(image: ElementTree.Element, shape: tuple[int, int, int]) -> PixelSize:
    pixels = image.find("{*}Pixels")
    assert pixels is not None
    texts = [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"]
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"]
    return pixel_size([None if text is None else to_number(text) for text in texts], units, "OME metadata", shape)


def _resolution(file: tifffile.TiffFile) -> list[float | None]:
    """Return the length of a pixel, Y and X, in the unit of the resolution tags."""
    lengths: list[float | None] = []
    for tag in ("YResolution", "XResolution"):
        value = file.pages.first.tags.valueof(tag)
        pixels, per = value if isinstance(value, tuple) else (0, 0)
        lengths.append(per / pixels if pixels and per else None)
    return lengths


def _imagej_size(file: tifffile.TiffFile, shape: tuple[int, int, int]) -> PixelSize:
    metadata = file.imagej_metadata or {}
    unit = str(metadata.get("unit", ""))
    spacing = metadata.get("spacing")
    # a stack that was recorded downwards has a negative distance of planes
    depth = abs(float(spacing)) if isinstance(spacing, int | float) and spacing else None
    lengths = _resolution(file)
    return pixel_size([depth, *lengths], [unit] * 3, "ImageJ metadata", shape)


def _lsm_size(file: tifffile.TiffFile, shape: tuple[int, int, int]) -> PixelSize:
    metadata = file.lsm_metadata or {}
    values = [metadata.get(f"VoxelSize{axis}") for axis in "ZYX"]
    return pixel_size([None if value is None else float(value) for value in values], ["m"] * 3, "LSM metadata", shape)


def _resolution_size(file: tifffile.TiffFile, shape: tuple[int, int, int]) -> PixelSize:
    """Return the size of a plain TIFF, if its resolution is that of a microscope and not of a printer."""
    unit = PER_UNIT.get(int(file.pages.first.tags.valueof("ResolutionUnit", default=1)), "")
    size = pixel_size([None, *_resolution(file)], [unit] * 3, "TIFF resolution", shape)
    return PixelSize() if size.doubts else size
