"""Writing OME-TIFF: channel names and physical sizes, for Fiji, napari and the like."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from ssp_model.files import replacing


def write_ome_tiff(
    path: str | Path,
    image_CZYX: np.ndarray,
    channel_names: Sequence[str],
    voxel_size_um: Sequence[float] | None,
) -> None:
    """Write an OME-TIFF with channel names and physical sizes, compressed.

    Parameters
    ----------
    image_CZYX : ndarray
        (C, Z, Y, X), float32 or integer.
    channel_names : sequence of str
        One a channel.
    voxel_size_um : sequence of float, or None
        Z, Y, X; None where it is not known.
    """
    metadata: dict[str, object] = {"axes": "CZYX", "Channel": {"Name": list(channel_names)}}
    for axis, size in zip("ZYX", voxel_size_um or (), strict=False):
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary, image_CZYX, ome=True, metadata=metadata, photometric="minisblack", compression="zlib"
        )
