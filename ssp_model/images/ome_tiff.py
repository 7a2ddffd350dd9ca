"""Writing OME-TIFF: channel names and physical sizes, for Fiji, napari and the like."""

import math
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import tifffile

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
