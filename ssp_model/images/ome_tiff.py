"""OME-TIFF as this project writes it: channel names and physical sizes, for Fiji, napari and the like."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import tifffile

from ssp_model.errors import InputError
from ssp_model.files import replacing

CLASSIC_TIFF = 2**32 - 2**25
"""Bytes that a TIFF of 32-bit addresses can hold, metadata apart."""


def write_ome_tiff(
    path: str | Path,
    channels: Sequence[np.ndarray | h5py.Dataset],
    channel_names: Sequence[str],
    voxel_size_um: Sequence[float] | None,
) -> None:
    """Write an OME-TIFF with channel names and physical sizes, compressed, plane by plane.

    Parameters
    ----------
    channels : sequence of array or HDF5 dataset
        (Z, Y, X) each, float32.
    channel_names : sequence of str
        One a channel.
    voxel_size_um : sequence of float, or None
        Z, Y, X; None where it is not known.
    """
    metadata: dict[str, object] = {"axes": "CZYX", "Channel": {"Name": list(channel_names)}}
    for axis, size in zip("ZYX", voxel_size_um or (), strict=False):
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    planes = (np.asarray(channel[z], dtype=np.float32) for channel in channels for z in range(channel.shape[0]))
    shape = (len(channels), *channels[0].shape)
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary,
            planes,
            shape=shape,
            dtype=np.float32,
            ome=True,
            metadata=metadata,
            photometric="minisblack",
            compression="zlib",
            # how far it can be compressed is not known beforehand
            bigtiff=4 * math.prod(shape) > CLASSIC_TIFF,
        )


@dataclass(frozen=True)
class OmeImage:
    """The content of an OME-TIFF.

    Attributes
    ----------
    channels : list of ndarray
        (Z, Y, X) each.
    channel_names : list of str
        One name a channel.
    voxel_size_um : tuple of float, or None
        Z, Y, X; None if the file does not give all three sizes.
    """

    channels: list[np.ndarray]
    channel_names: list[str]
    voxel_size_um: tuple[float, float, float] | None


def read_ome_tiff(path: str | Path) -> OmeImage:
    """Read an OME-TIFF that `write_ome_tiff` has written.

    Raises
    ------
    InputError
        The file is missing or damaged, is not an OME-TIFF, has several time points, or its unit is not µm.
    """
    try:
        with tifffile.TiffFile(path) as file:
            if not file.ome_metadata:
                raise InputError(f"{path} is damaged or not an OME-TIFF: it has no OME metadata.")
            channel_names, voxel_size_um = _read_metadata(file.ome_metadata, path)
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
    channels = voxels.squeeze(others).transpose([left.index(axis) for axis in "CZYX"])
    return OmeImage(list(channels), channel_names, voxel_size_um)


def _read_metadata(xml: str, path: str | Path) -> tuple[list[str], tuple[float, float, float] | None]:
    """Channel names, and the voxel size in µm (Z, Y, X), of the first image of OME-XML."""
    pixels = ElementTree.fromstring(xml).find("{*}Image/{*}Pixels")
    if pixels is None:
        raise InputError(f"{path} is not an OME-TIFF: its metadata describe no image.")
    names = [channel.get("Name", f"channel {i}") for i, channel in enumerate(pixels.findall("{*}Channel"))]
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"]
    if None in sizes:
        return names, None
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"]
    if set(units) != {"µm"}:
        raise InputError(f"{path} gives its voxel size in {', '.join(units)} (Z, Y, X); only µm can be read.")
    z, y, x = (float(size) for size in sizes if size is not None)
    return names, (z, y, x)
