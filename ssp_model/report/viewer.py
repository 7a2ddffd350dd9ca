"""A volume viewer: one HTML file to scroll through an image, its target, its prediction and the error.

Works without a network. Voxels are held as 8 bits, a slice an image whose red, green and blue are signal, target and
prediction; the error is their difference, taken by the browser.
"""

import base64
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image as PilImage

from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.images.reader import Image
from ssp_model.report.html import templates

CLIPPED = (0.05, 99.95)
"""Percentiles at which values are clipped."""
MOST_VOXELS = 2**21
"""A larger image is shown binned in XY, so that a report with many viewers can still be sent around."""


def write_viewer(stack: str | Path, title: str, path: str | Path) -> None:
    """Write a viewer.

    Parameters
    ----------
    stack : path
        OME-TIFF of signal, target and prediction.
    title : str
    path : path
        HTML file to write.

    Raises
    ------
    InputError
        The file can't be read, or holds something else.
    """
    image = Image(stack)
    if image.channels != 3:
        raise InputError(
            f"{stack} has {image.channels} channels; wanted are three, signal, target and prediction, as the "
            "evaluation writes them."
        )
    volumes = [image.read(channel) for channel in range(3)]
    bins = max(int(np.ceil((volumes[0].size / MOST_VOXELS) ** 0.5)), 1)
    signal, target, prediction = (bin_xy(volume, bins) for volume in volumes)
    signal_range = np.percentile(signal, CLIPPED)
    both = [np.percentile(volume, CLIPPED) for volume in (target, prediction)]
    fluorescence_range = np.array([min(low for low, _ in both), max(high for _, high in both)])
    ranges = (signal_range, fluorescence_range, fluorescence_range)
    stacked = np.stack([to_bytes(v, r) for v, r in zip((signal, target, prediction), ranges, strict=True)], axis=-1)
    um = None if None in image.pixel_size_um else [float(size or 1) for size in image.pixel_size_um]
    data = {
        "depth": signal.shape[0],
        "height": signal.shape[1],
        "width": signal.shape[2],
        "start": int(target.var(axis=(1, 2)).argmax()),
        "um": [um[0], um[1] * bins, um[2] * bins] if um else None,
        "signal": signal_range.tolist(),
        "fluorescence": fluorescence_range.tolist(),
        "magma": colours("magma"),
        "diverging": colours("PuOr_r"),
        "slices": [png(plane) for plane in stacked],
    }
    shown = f" Shown binned {bins} x {bins} in XY." if bins > 1 else ""
    lead = (
        "Target and prediction share one contrast; intensities are standardised, not counts. For this viewer, values "
        f"are rounded to 256 steps between the {CLIPPED[0]}% and the {CLIPPED[1]}% percentile and clipped there.{shown}"
    )
    html = templates.get_template("viewer.html.j2").render(title=title, lead=lead, data=data)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def bin_xy(volume: np.ndarray, bins: int) -> np.ndarray:
    """Mean over squares of voxels in XY; what does not fill a square at the far edges is left out."""
    depth, height, width = volume.shape
    height, width = height // bins * bins, width // bins * bins
    squares = volume[:, :height, :width].reshape(depth, height // bins, bins, width // bins, bins)
    return squares.mean(axis=(2, 4))


def to_bytes(volume: np.ndarray, value_range: np.ndarray) -> np.ndarray:
    """Values as 0 to 255 over a range."""
    low, high = value_range
    return np.round(np.clip((volume - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def png(plane: np.ndarray) -> str:
    """A slice, (Y, X, 3), as base64 of a PNG."""
    buffer = io.BytesIO()
    PilImage.fromarray(plane).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def colours(name: str) -> list[int]:
    """A colour map of matplotlib as 256 times red, green, blue."""
    table = mpl.colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return np.round(table * 255).astype(int).ravel().tolist()
