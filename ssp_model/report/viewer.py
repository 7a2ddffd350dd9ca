"""A volume viewer: one HTML file to scroll through an image, its target, its prediction and the error.

It works offline. Each slice is one PNG with 8 bits a value: red is the signal, green the target, blue the prediction.
The browser computes the error. Where there is an expected error, it lies below the rest in the same PNG.
"""

import base64
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image as PilImage

from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import OmeImage, read_ome_tiff
from ssp_model.report.html import write_page

CLIPPED = (0.05, 99.95)
"""Percentiles: values outside are clipped."""
MOST_VOXELS = 2**21
"""Larger images are binned in XY, so that a report with many viewers stays small enough to send."""


def read_prediction(path: str | Path) -> OmeImage:
    """Read an OME-TIFF of signal, target and prediction, and of the expected error if it is there.

    Raises
    ------
    InputError
        The file can't be read, or does not have three or four channels.
    """
    image = read_ome_tiff(path)
    if len(image.channels) not in (3, 4):
        raise InputError(
            f"{path} has {len(image.channels)} channels, but wanted are three or four: signal, target, prediction and, "
            "if there is one, expected error, as the evaluation writes them."
        )
    return image


def write_viewer(image: OmeImage, title: str, path: str | Path) -> None:
    """Write a viewer.

    Parameters
    ----------
    image : OmeImage
        Three or four channels: signal, target, prediction and expected error.
    title : str
    path : path
        HTML file to write.
    """
    bins = max(int(np.ceil((image.channels[0].size / MOST_VOXELS) ** 0.5)), 1)
    signal, target, prediction, *expected = (bin_xy(volume, bins) for volume in image.channels)
    signal_range = np.percentile(signal, CLIPPED)
    both = [np.percentile(volume, CLIPPED) for volume in (target, prediction)]
    fluorescence_range = np.array([min(low for low, _ in both), max(high for _, high in both)])
    ranges = (signal_range, fluorescence_range, fluorescence_range)
    stacked = np.stack([to_bytes(v, r) for v, r in zip((signal, target, prediction), ranges, strict=True)], axis=-1)
    # in steps of the fluorescence, as the error is
    reach = fluorescence_range - fluorescence_range[0]
    for volume in expected:
        grey = np.repeat(to_bytes(volume, reach)[..., None], 3, axis=-1)
        stacked = np.concatenate([stacked, grey], axis=1)
    z_um, y_um, x_um = image.voxel_size_um or (None, None, None)
    data = {
        "depth": signal.shape[0],
        "height": signal.shape[1],
        "width": signal.shape[2],
        "expected": bool(expected),
        "start": int(target.var(axis=(1, 2)).argmax()),
        "um": [z_um, y_um * bins, x_um * bins] if z_um and y_um and x_um else None,
        "signal": signal_range.tolist(),
        "fluorescence": fluorescence_range.tolist(),
        "magma": colours("magma"),
        "diverging": colours("PuOr_r"),
        "slices": [png(plane) for plane in stacked],
    }
    write_page(
        path, "viewer.html.j2", title=title, data=data, bins=bins, clipped=CLIPPED, has_expected_error=bool(expected)
    )


def bin_xy(volume: np.ndarray, bins: int) -> np.ndarray:
    """Average squares of voxels in XY. Voxels at the far edges that fill no whole square are left out."""
    depth, height, width = volume.shape
    height, width = height // bins * bins, width // bins * bins
    squares = volume[:, :height, :width].reshape(depth, height // bins, bins, width // bins, bins)
    return squares.mean(axis=(2, 4))


def to_bytes(volume: np.ndarray, value_range: np.ndarray) -> np.ndarray:
    """Scale values in a range, (low, high), to 0 to 255; values outside are clipped."""
    low, high = value_range
    return np.round(np.clip((volume - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def png(plane: np.ndarray) -> str:
    """Encode a slice, (Y, X, 3), as PNG in base64."""
    buffer = io.BytesIO()
    PilImage.fromarray(plane).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def colours(name: str) -> list[int]:
    """Return a colour map of Matplotlib: 256 times red, green, blue."""
    table = mpl.colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return np.round(table * 255).astype(int).ravel().tolist()
