"""Pictures of images and of predictions."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import h5py
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patheffects import withStroke

from ssp_model.figures.style import save
from ssp_model.images.reader import Image


def plot_prediction(stack: str | Path, path: str | Path) -> None:
    """Signal, target, prediction and error of an image, as sections in XY, XZ and YZ.

    Parameters
    ----------
    stack : path
        OME-TIFF of signal, target and prediction.
    path : path
        Picture to write.
    """
    image = Image(stack)
    signal, target, prediction = (image.read(channel) for channel in range(3))
    um_z, um_y, um_x = (1.0 if um is None else um for um in image.pixel_size_um)
    unit = "px" if image.pixel_size_um[1] is None else "µm"
    z, y, x = focus(target)
    # both fluorescence images share one scale, which is what makes them comparable
    low, high = np.percentile(target, [0.5, 99.8])
    fluorescence = Normalize(low, max(high, low + 1e-6))
    limit = float(high - low)
    panels = [
        ("transmitted light (input)", signal, "gray", Normalize(*np.percentile(signal, [0.2, 99.8]))),
        ("target", target, "magma", fluorescence),
        ("prediction", prediction, "magma", fluorescence),
        ("prediction - target", prediction - target, "PuOr_r", Normalize(-limit, limit)),
    ]
    depth, height, width = (n * um for n, um in zip(signal.shape, (um_z, um_y, um_x), strict=True))
    inch = 2.3 / width
    figure = plt.figure(figsize=(4 * (width + depth) * inch + 1.2, (height + depth) * inch + 0.9), layout="constrained")
    parts: Any = figure.subfigures(1, 4)
    for part, (title, volume, colours, norm) in zip(parts, panels, strict=True):
        xy, yz, xz, bar = part.subplots(
            2,
            2,
            width_ratios=[width, depth],
            height_ratios=[height, depth],
            gridspec_kw={"wspace": 0.02, "hspace": 0.02},
        ).flat
        views = (
            (xy, volume[z], (0, width, height, 0)),
            (yz, volume[:, :, x].T, (0, depth, height, 0)),
            (xz, volume[:, y], (0, width, depth, 0)),
        )
        for axes, section, extent in views:
            shown = axes.imshow(
                section, cmap=colours, norm=norm, extent=extent, interpolation="nearest", aspect="equal"
            )
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line = {"color": "white", "lw": 0.6, "ls": ":"}
        xy.axhline((y + 0.5) * um_y, **line)
        xy.axvline((x + 0.5) * um_x, **line)
        yz.axvline((z + 0.5) * um_z, **line)
        xz.axhline((z + 0.5) * um_z, **line)
        xy.set_title(title, fontsize=9)
        bar.set_axis_off()
        if volume is signal:
            scale_bar(xy, width, height, unit)
            for axes, name in ((xy, "XY"), (yz, "YZ"), (xz, "XZ")):
                axes.text(0.03, 0.96, name, color="white", fontsize=9, transform=axes.transAxes, va="top",
                          path_effects=[withStroke(linewidth=1.5, foreground="black")])  # fmt: skip
        colorbar = part.colorbar(shown, ax=[xy, yz, xz, bar], orientation="horizontal", shrink=0.8, aspect=30, pad=0.02)
        colorbar.ax.tick_params(labelsize=7)
        colorbar.set_label("standardised intensity", fontsize=7)
    save(figure, path)


OVERLAY = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#ffffff")
"""Colours of structures laid over each other; more structures take the same colours again."""


def plot_composite(stack: str | Path, path: str | Path) -> None:
    """All structures predicted in one signal: each by itself, and together over the transmitted light.

    Parameters
    ----------
    stack : path
        OME-TIFF of the signal and a prediction a structure.
    path : path
        Picture to write.
    """
    image = Image(stack)
    signal, *predictions = (image.read(channel) for channel in range(image.channels))
    structures = image.channel_names[1:]
    um_y, um_x = (1.0 if um is None else um for um in image.pixel_size_um[1:])
    z = int(np.mean([focus(volume)[0] for volume in predictions]))
    height, width = signal.shape[1] * um_y, signal.shape[2] * um_x
    columns = min(len(structures), 4)
    rows = -(-len(structures) // columns)
    figure = plt.figure(
        figsize=(12, 12 / columns * rows * height / width + 12 / 2 * height / width), layout="constrained"
    )
    halves: Any = figure.subfigures(2, 1, height_ratios=[1 / 2, rows / columns])
    above, below = halves
    light = Normalize(*np.percentile(signal[z], [0.2, 99.8]))
    extent = (0, width, height, 0)
    grey, overlay = above.subplots(1, 2)
    grey.imshow(signal[z], cmap="gray", norm=light, extent=extent)
    grey.set_title("transmitted light (input)")
    together = light(signal[z], clip=True)[..., None] * 0.35 * np.ones(3)
    colours = list(zip(structures, cycle(OVERLAY), strict=False))
    for (_, colour), volume in zip(colours, predictions, strict=True):
        together = together + brightness(volume, z)[..., None] * np.array(to_rgb(colour))
    overlay.imshow(np.clip(together, 0, 1), extent=extent)
    overlay.set_title("all predictions over it")
    scale_bar(grey, width, height, "px" if image.pixel_size_um[1] is None else "µm")
    singles = below.subplots(rows, columns, squeeze=False)
    for axes, (structure, colour), volume in zip(singles.flat, colours, predictions, strict=False):
        axes.imshow(brightness(volume, z)[..., None] * np.array(to_rgb(colour)), extent=extent)
        axes.set_title(structure, fontsize=9)
    for axes in (grey, overlay, *singles.flat):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes in singles.flat[len(structures) :]:
        axes.set_visible(False)
    save(figure, path)


def brightness(volume: np.ndarray, z: int) -> np.ndarray:
    """A plane of a prediction from 0 at its volume's median to 1 at its 99.8% percentile."""
    low, high = np.percentile(volume, [50, 99.8])
    return np.clip((volume[z] - low) / max(high - low, 1e-6), 0, 1)


def plot_inputs(
    pairs: Mapping[str, tuple[h5py.Dataset, h5py.Dataset]], voxel_size_um: Sequence[float] | None, path: str | Path
) -> None:
    """Montage: for each structure a plane of a training image, transmitted light above the target.

    Parameters
    ----------
    pairs : mapping
        By structure: signal and target, (Z, Y, X), of which one at a time is held in memory.
    voxel_size_um : sequence of float, or None
    path : path
        Picture to write.
    """
    columns = min(len(pairs), 6)
    rows = -(-len(pairs) // columns)
    figure, grid = plt.subplots(
        2 * rows, columns, figsize=(12, rows * 24 / columns * 0.85), layout="constrained", squeeze=False
    )
    for axes in grid.flat:
        axes.set_axis_off()
    um_y, um_x = voxel_size_um[1:] if voxel_size_um else (1.0, 1.0)
    for number, (structure, (signal, target)) in enumerate(pairs.items()):
        above, below = (grid[2 * (number // columns) + i, number % columns] for i in (0, 1))
        z, _, _ = focus(target[()])
        height, width = target.shape[1] * um_y, target.shape[2] * um_x
        for axes, plane, colours in ((above, signal[z], "gray"), (below, target[z], "magma")):
            axes.imshow(
                plane, cmap=colours, norm=Normalize(*np.percentile(plane, [0.3, 99.7])), extent=(0, width, height, 0)
            )
        above.set_title(structure, fontsize=9)
        scale_bar(below, width, height, "µm" if voxel_size_um else "px")
    save(figure, path)


def focus(target: np.ndarray) -> tuple[int, int, int]:
    """The plane along each axis, Z, Y and X, where an image has most to show (most variance), not near its edges."""
    planes = []
    for axis in range(3):
        variance = target.var(axis=tuple({0, 1, 2} - {axis}))
        edge = len(variance) // 8
        planes.append(edge + int(variance[edge : len(variance) - edge].argmax()))
    z, y, x = planes
    return z, y, x


def scale_bar(axes: Axes, width: float, height: float, unit: str) -> None:
    """A bar of round length, about a quarter of the image, lower left."""
    length = max(size for size in (1, 2, 5, 10, 20, 50, 100, 200) if size <= max(width / 3, 1))
    left, bottom = width * 0.05, height * 0.93
    # a dark rim keeps them legible on any image
    rim = withStroke(linewidth=2.5, foreground="black")
    middle, text_bottom = left + length / 2, bottom - height * 0.02
    axes.plot(
        [left, left + length],
        [bottom, bottom],
        color="white",
        lw=3,
        solid_capstyle="butt",
        path_effects=[withStroke(linewidth=5, foreground="black")],
    )
    axes.text(middle, text_bottom, f"{length} {unit}", color="white", ha="center", va="bottom", path_effects=[rim])
