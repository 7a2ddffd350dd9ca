"""OME-TIFF, written and read: for Fiji, QuPath, napari and whatever reads TIFF.

- Compression is deflate (zlib), which every TIFF reader decodes; zstd needs recent readers. The predictor of uint16 is
  the horizontal one. float32 has none: Bio-Formats (Fiji, QuPath) refuses files with the floating-point predictor.
- Each plane is followed by its smaller levels (SubIFDs), so no plane is kept and no temporary file is needed.
- The OME-XML stands at the start of the file.
- OME-XML has no place for contrast limits, the mapping of intensities and provenance: map annotations hold them.
"""

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.images.ome_output import (
    PROJECT_KEY,
    IntensityMapping,
    OmeContent,
    naming_a_full_disk,
    planes_of,
    pyramid,
    stored_planes,
)

if TYPE_CHECKING:
    import h5py

CLASSIC_TIFF = 2**32 - 2**20
"""Bytes that a TIFF with 32-bit addresses can hold, the OME-XML apart."""

BYTES_OF_A_DIRECTORY, BYTES_OF_A_TILE = 512, 16
"""More than the tags of a plane take, and more than the place of each of its tiles adds to them."""

TILE = 512
"""Most pixels of a tile along Y and X."""

OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
INTENSITIES = f"{PROJECT_KEY}/intensities"
PROVENANCE = f"{PROJECT_KEY}/provenance"


def write_ome_tiff(path: str | Path, planes: Iterable[np.ndarray], content: OmeContent) -> None:
    """Write an OME-TIFF plane by plane: tiled, compressed, with smaller levels of large planes.

    It is a BigTIFF if it might exceed 4 GiB.

    Parameters
    ----------
    path : path
    planes : iterable of ndarray
        Standardised intensities, (Y, X) each, in the order T, C, Z with Z fastest.
    content : OmeContent

    Raises
    ------
    ValueError
        There are more or fewer planes than `content` has, or one has another shape. No file is left.
    InputError
        The disk is full, or a plane has values that are not finite. No file is left.
    """
    num_levels, num_cores = len(content.level_shapes), len(os.sched_getaffinity(0))
    description: bytes | None = _ome_xml(content, Path(path).name)
    with (
        naming_a_full_disk(path),
        replacing(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=_largest_size(content) > CLASSIC_TIFF, byteorder="<", ome=False) as tiff,
    ):
        for *_, plane in stored_planes(planes, content):
            for level, pixels in enumerate(pyramid(plane, num_levels)):
                tile = _tile_shape(pixels.shape)
                tiff.write(
                    _tiles(pixels, tile),
                    shape=pixels.shape,
                    dtype=content.dtype,
                    tile=tile,
                    photometric="minisblack",
                    compression="zlib",
                    predictor=2 if content.dtype.kind == "u" else None,
                    maxworkers=num_cores,
                    subifds=num_levels - 1 if level == 0 else None,
                    subfiletype=1 if level else 0,
                    description=description,
                    software=PROJECT_KEY,
                    metadata=None,
                )
                description = None


def write_channels(
    path: str | Path,
    channels: "Sequence[np.ndarray | h5py.Dataset]",
    channel_names: Sequence[str],
    voxel_size_um: Sequence[float] | None,
) -> None:
    """Write volumes as the channels of an OME-TIFF, as they are.

    Parameters
    ----------
    path : path
    channels : sequence of array or HDF5 dataset
        (Z, Y, X) each, float32.
    channel_names : sequence of str
        One for each channel.
    voxel_size_um : sequence of float, or None
        Z, Y, X; None if it is not known.

    Raises
    ------
    InputError
        As for `write_ome_tiff`.
    """
    depth, height, width = channels[0].shape
    content = OmeContent((1, len(channels), depth, height, width), channel_names, voxel_size_um)
    write_ome_tiff(path, planes_of(channels), content)


def _tile_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return height and width of the tiles of a plane; a small plane is one tile. TIFF wants multiples of 16."""
    height, width = (min(TILE, -(-size // 16) * 16) for size in shape)
    return height, width


def _tiles(plane: np.ndarray, tile: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield the tiles of a plane, row by row. Tiles at the far edges are filled up with the last pixels."""
    height, width = tile
    missing = [(0, -size % length) for size, length in zip(plane.shape, tile, strict=True)]
    padded = np.pad(plane, missing, mode="edge")
    for y in range(0, padded.shape[0], height):
        for x in range(0, padded.shape[1], width):
            yield padded[y : y + height, x : x + width]


def _largest_size(content: OmeContent) -> int:
    """Return the bytes of the file if nothing could be compressed."""
    size = 0
    for height, width in content.level_shapes:
        tile_height, tile_width = _tile_shape((height, width))
        num_tiles = -(-height // tile_height) * -(-width // tile_width)
        tile_bytes = tile_height * tile_width * content.dtype.itemsize
        size += BYTES_OF_A_DIRECTORY + num_tiles * (BYTES_OF_A_TILE + tile_bytes)
    # deflate adds at most 5 bytes to 16 KiB that can't be compressed
    return int(content.num_planes * size * 1.001)


def _ome_xml(content: OmeContent, name: str) -> bytes:
    """Return the metadata as OME-XML."""
    root = ElementTree.Element(
        "OME",
        {
            "xmlns": OME,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{OME} {OME}/ome.xsd",
            "Creator": PROJECT_KEY,
        },
    )
    image = ElementTree.SubElement(root, "Image", ID="Image:0", Name=_printable(name))
    pixels = ElementTree.SubElement(image, "Pixels", _pixels_attributes(content))
    annotations = ElementTree.Element("StructuredAnnotations")
    for c, channel_name in enumerate(content.channel_names):
        channel = ElementTree.SubElement(
            pixels,
            "Channel",
            ID=f"Channel:0:{c}",
            Name=_printable(channel_name),
            SamplesPerPixel="1",
            Color=_signed_rgba(content.colours[c]),
        )
        _annotate(channel, annotations, INTENSITIES, _intensities(content, c))
    ElementTree.SubElement(pixels, "TiffData", IFD="0", PlaneCount=str(content.num_planes))
    _annotate(image, annotations, PROVENANCE, content.provenance)
    if len(annotations):
        root.append(annotations)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _pixels_attributes(content: OmeContent) -> dict[str, str]:
    attributes = {
        "ID": "Pixels:0",
        "DimensionOrder": "XYZCT",
        "Type": "uint16" if content.dtype.kind == "u" else "float",
        "BigEndian": "false",
    }
    attributes |= {f"Size{axis}": str(size) for axis, size in zip("TCZYX", content.shape, strict=True)}
    for axis, size_um in zip("ZYX", content.sizes_um, strict=True):
        if size_um is not None:
            attributes |= {f"PhysicalSize{axis}": str(float(size_um)), f"PhysicalSize{axis}Unit": "µm"}
    if content.time_step_s is not None:
        attributes |= {"TimeIncrement": str(float(content.time_step_s)), "TimeIncrementUnit": "s"}
    return attributes


def _intensities(content: OmeContent, c: int) -> dict[str, str]:
    """Return the mapping and the contrast limits of a channel, as pairs of text."""
    pairs = {}
    if content.mappings:
        mapping = content.mappings[c]
        pairs = {
            "standardised intensity": "offset + step * stored value",
            "offset": str(float(mapping.offset)),
            "step": str(float(mapping.step)),
        }
    if content.contrast_limits:
        low, high = content.contrast_limits[c]
        pairs |= {"contrast minimum": str(float(low)), "contrast maximum": str(float(high))}
    return pairs


def _annotate(
    element: ElementTree.Element, annotations: ElementTree.Element, namespace: str, pairs: Mapping[str, str]
) -> None:
    """Add pairs of text as a map annotation of an element, if there are any."""
    if not pairs:
        return
    identifier = f"Annotation:{len(annotations)}"
    ElementTree.SubElement(element, "AnnotationRef", ID=identifier)
    annotation = ElementTree.SubElement(annotations, "MapAnnotation", ID=identifier, Namespace=namespace)
    value = ElementTree.SubElement(annotation, "Value")
    for key, text in pairs.items():
        ElementTree.SubElement(value, "M", K=_printable(key)).text = _printable(text)


def _printable(text: str) -> str:
    """Replace the characters that XML can't hold, even escaped."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _signed_rgba(colour: str) -> str:
    """Return a colour as OME-XML has it: red, green, blue and alpha as a signed 32-bit number."""
    return str(int.from_bytes(bytes.fromhex(f"{colour}FF"), "big", signed=True))


@dataclass(frozen=True)
class OmeImage:
    """The content of an OME-TIFF.

    Attributes
    ----------
    channels : list of ndarray
        (Z, Y, X) each: standardised intensities, also if the file stores uint16 with a mapping.
    channel_names : list of str
        One name a channel.
    voxel_size_um : tuple of float, or None
        Z, Y, X; None if the file does not give all three sizes.
    """

    channels: list[np.ndarray]
    channel_names: list[str]
    voxel_size_um: tuple[float, float, float] | None


def read_ome_tiff(path: str | Path) -> OmeImage:
    """Read an OME-TIFF that `write_ome_tiff` has written, at full resolution.

    Raises
    ------
    InputError
        The file is missing or damaged, is not an OME-TIFF, has several time points, or its unit is not µm.
    """
    try:
        with tifffile.TiffFile(path) as file:
            if not file.ome_metadata:
                raise InputError(f"{path} is damaged or not an OME-TIFF: it has no OME metadata.")
            metadata = _read_metadata(file.ome_metadata, path)
            pages = file.series[0].pages
            if any(page is None for page in pages):
                found = sum(page is not None for page in pages)
                raise InputError(
                    f"{path} is damaged: it has {found} of {len(pages)} planes; copy it or write it again."
                )
            axes = file.series[0].get_axes(squeeze=False)
            voxels = file.series[0].asarray(squeeze=False)
    except InputError:
        raise
    # tifffile and the codecs each raise their own kinds of errors
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{path} can't be read as an OME-TIFF ({reason}).") from None
    others = tuple(i for i, axis in enumerate(axes) if axis not in "CZYX")
    if any(voxels.shape[i] > 1 for i in others):
        raise InputError(f"{path} has the axes {axes} {voxels.shape}; only channels, Z, Y and X can be read.")
    left = [axis for axis in axes if axis in "CZYX"]
    channels = list(voxels.squeeze(others).transpose([left.index(axis) for axis in "CZYX"]))
    for c, mapping in metadata.mappings.items():
        channels[c] = mapping.to_standardised(channels[c])
    return OmeImage(channels, metadata.channel_names, metadata.voxel_size_um)


@dataclass(frozen=True)
class _Metadata:
    """Channel names, the mappings by the number of their channel, and the voxel size in µm (Z, Y, X)."""

    channel_names: list[str]
    mappings: dict[int, IntensityMapping]
    voxel_size_um: tuple[float, float, float] | None


def _read_metadata(xml: str, path: str | Path) -> _Metadata:
    """Read what OME-XML says of its first image."""
    root = ElementTree.fromstring(xml)
    pixels = root.find("{*}Image/{*}Pixels")
    if pixels is None:
        raise InputError(f"{path} is not an OME-TIFF: its metadata describe no image.")
    channels = pixels.findall("{*}Channel")
    names = [channel.get("Name", f"channel {i}") for i, channel in enumerate(channels)]
    mappings = {i: mapping for i, channel in enumerate(channels) if (mapping := _read_mapping(root, channel))}
    return _Metadata(names, mappings, _read_voxel_size(pixels, path))


def _read_mapping(root: ElementTree.Element, channel: ElementTree.Element) -> IntensityMapping | None:
    """Return how the intensities of a channel are stored as uint16; None if they are stored as they are."""
    references = {reference.get("ID") for reference in channel.findall("{*}AnnotationRef")}
    for annotation in root.findall(f"{{*}}StructuredAnnotations/{{*}}MapAnnotation[@Namespace='{INTENSITIES}']"):
        pairs = {pair.get("K"): pair.text or "" for pair in annotation.findall("{*}Value/{*}M")}
        if annotation.get("ID") in references and "step" in pairs:
            return IntensityMapping(float(pairs["offset"]), float(pairs["step"]))
    return None


def _read_voxel_size(pixels: ElementTree.Element, path: str | Path) -> tuple[float, float, float] | None:
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"]
    if None in sizes:
        return None
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"]
    if set(units) != {"µm"}:
        raise InputError(f"{path} gives its voxel size in {', '.join(units)} (Z, Y, X); only µm can be read.")
    z, y, x = (float(size) for size in sizes if size is not None)
    return z, y, x
