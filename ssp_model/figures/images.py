"""Figures of images and of predictions."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ssp_model.figures.style import style


@style()
def plot_prediction(
    signal: np.ndarray, target: np.ndarray, prediction: np.ndarray, voxel_size_um: Sequence[float] | None
) -> Figure:
    """Draw signal, target, prediction and error of an image, as sections in XY, XZ and YZ.

    Parameters
    ----------
    signal, target, prediction : ndarray
        (Z, Y, X) each, standardised intensities.
    voxel_size_um : sequence of float, or None
        Z, Y, X; None if it is not known.
    """
    um_z, um_y, um_x = voxel_size_um or (1.0, 1.0, 1.0)
    z, y, x = focus(target)
    # target and prediction can be compared only on one scale
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
    figure = Figure(figsize=(4 * (width + depth) * inch + 1.2, (height + depth) * inch + 0.9), layout="constrained")
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
            (xy, "XY", volume[z], (0, width, height, 0)),
            (yz, "YZ", volume[:, :, x].T, (0, depth, height, 0)),
            (xz, "XZ", volume[:, y], (0, width, depth, 0)),
        )
        for axes, name, section, extent in views:
            shown = axes.imshow(
                section, cmap=colours, norm=norm, extent=extent, interpolation="nearest", aspect="equal"
            )
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if volume is signal:
                rim = [withStroke(linewidth=1.5, foreground="black")]
                axes.text(0.03, 0.96, name, color="white", transform=axes.transAxes, va="top", path_effects=rim)
        mark_sections((xy, yz, xz), [(i + 0.5) * um for i, um in zip((z, y, x), (um_z, um_y, um_x), strict=True)])
        xy.set_title(title, fontsize=9)
        bar.set_axis_off()
        if volume is signal:
            scale_bar(xy, width, height, "µm" if voxel_size_um else "px")
        colorbar = part.colorbar(shown, ax=[xy, yz, xz, bar], orientation="horizontal", shrink=0.8, aspect=30, pad=0.02)
        colorbar.ax.tick_params(labelsize=7)
        colorbar.set_label("standardised intensity", fontsize=7)
    return figure


@style()
def plot_regions(regions: Sequence[tuple[float, np.ndarray]]) -> Figure:
    """Draw regions of an image: signal, target, prediction, and the error.

    Parameters
    ----------
    regions : sequence of tuple
        For each its error, and a plane of signal, target and prediction, (3, Y, X).
    """
    titles = ("transmitted\nlight", "target", "prediction", "prediction\n- target")
    figure = Figure(figsize=(2.1 * len(regions) + 0.6, 8.4), layout="constrained")
    grid = figure.subplots(4, len(regions), squeeze=False)
    for rank, (column, (error, planes)) in enumerate(zip(grid.T, regions, strict=True), start=1):
        signal, target, prediction = planes
        # on one scale, that nothing is hidden by its own brightness
        low, high = np.percentile(planes[1:], [0.5, 99.8])
        high = max(high, low + 1e-6)
        rows = (
            (signal, "gray", Normalize(*np.percentile(signal, [0.2, 99.8]))),
            (target, "magma", Normalize(low, high)),
            (prediction, "magma", Normalize(low, high)),
            (prediction - target, "PuOr_r", Normalize(low - high, high - low)),
        )
        for axes, (plane, colours, norm) in zip(column, rows, strict=True):
            axes.imshow(plane, cmap=colours, norm=norm, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        column[0].set_title(f"{rank}: error {error:.2f}", fontsize=9)
    for axes, title in zip(grid[:, 0], titles, strict=True):
        axes.set_ylabel(title)
    return figure


def mark_sections(sections: tuple[Axes, Axes, Axes], place: Sequence[float]) -> None:
    """Draw dotted lines where the sections XY, YZ and XZ cut each other, at a place (Z, Y, X)."""
    xy, yz, xz = sections
    z, y, x = place
    line: Any = {"color": "white", "lw": 0.6, "ls": ":"}
    xy.axhline(y, **line)
    xy.axvline(x, **line)
    yz.axvline(z, **line)
    xz.axhline(z, **line)


OVERLAY = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#ffffff")
"""Colours of the structures in an overlay; the ninth structure has the first colour again."""


@style()
def plot_composite(
    signal: np.ndarray, predictions: Mapping[str, np.ndarray], voxel_size_um: Sequence[float] | None
) -> Figure:
    """Draw all structures predicted in one image: each alone, and all together over the transmitted light.

    Parameters
    ----------
    signal : ndarray
        (Z, Y, X).
    predictions : mapping
        For each structure its prediction, (Z, Y, X).
    voxel_size_um : sequence of float, or None
        Z, Y, X; None if it is not known.
    """
    _, um_y, um_x = voxel_size_um or (1.0, 1.0, 1.0)
    z = int(np.mean([focus(volume)[0] for volume in predictions.values()]))
    height, width = signal.shape[1] * um_y, signal.shape[2] * um_x
    columns = min(len(predictions), 4)
    rows = -(-len(predictions) // columns)
    figure = Figure(figsize=(12, 12 / columns * rows * height / width + 12 / 2 * height / width), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1 / 2, rows / columns])
    above, below = halves
    extent = (0, width, height, 0)
    grey, overlay = above.subplots(1, 2)
    grey.set_title("transmitted light (input)")
    overlay.set_title("all predictions over it")
    coloured = draw_overlay(grey, overlay, signal, predictions, z=z, extent=extent)
    scale_bar(grey, width, height, "µm" if voxel_size_um else "px")
    singles = below.subplots(rows, columns, squeeze=False)
    for axes, (structure, plane) in zip(singles.flat, coloured.items(), strict=False):
        axes.imshow(plane, extent=extent)
        axes.set_title(structure, fontsize=9)
    for axes in (grey, overlay, *singles.flat):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes in singles.flat[len(predictions) :]:
        axes.set_visible(False)
    return figure


def draw_overlay(
    grey: Axes,
    overlay: Axes,
    signal: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    *,
    z: int,
    extent: tuple[float, float, float, float],
) -> dict[str, np.ndarray]:
    """Draw a plane of the transmitted light, and all predictions over it. Return each in its colour, (Y, X, RGB)."""
    light = Normalize(*np.percentile(signal[z], [0.2, 99.8]))
    grey.imshow(signal[z], cmap="gray", norm=light, extent=extent)
    together = light(signal[z], clip=True)[..., None] * 0.35 * np.ones(3)
    coloured = {
        structure: brightness(volume, z)[..., None] * np.array(to_rgb(colour))
        for (structure, volume), colour in zip(predictions.items(), cycle(OVERLAY), strict=False)
    }
    for plane in coloured.values():
        together = together + plane
    overlay.imshow(np.clip(together, 0, 1), extent=extent)
    return coloured


@style()
def plot_cover(
    signal: np.ndarray, predictions: Mapping[str, np.ndarray], voxel_size_um: Sequence[float] | None
) -> Figure:
    """Draw a picture for a catalogue, twice as wide as high: transmitted light, and predictions over it.

    Parameters are as of `plot_composite`. The middle square of the image is shown.
    """
    _, um_y, um_x = voxel_size_um or (1.0, 1.0, 1.0)
    z = focus(next(iter(predictions.values())))[0]
    side = min(signal.shape[1] * um_y, signal.shape[2] * um_x)
    rows, columns = (
        slice((size - kept) // 2, (size + kept) // 2)
        for size, kept in zip(signal.shape[1:], (round(side / um_y), round(side / um_x)), strict=True)
    )
    figure = Figure(figsize=(6, 3))
    grey, overlay = figure.add_axes((0, 0, 0.5, 1)), figure.add_axes((0.5, 0, 0.5, 1))
    middle = {name: volume[:, rows, columns] for name, volume in predictions.items()}
    draw_overlay(grey, overlay, signal[:, rows, columns], middle, z=z, extent=(0, side, side, 0))
    for axes in (grey, overlay):
        axes.set_axis_off()
    return figure


def brightness(volume: np.ndarray, z: int) -> np.ndarray:
    """Scale a plane of a prediction: 0 at the volume's median, 1 at its 99.8% percentile."""
    low, high = np.percentile(volume, [50, 99.8])
    return np.clip((volume[z] - low) / max(high - low, 1e-6), 0, 1)


@style()
def plot_inputs(planes: Mapping[str, tuple[np.ndarray, np.ndarray]], voxel_size_um: Sequence[float] | None) -> Figure:
    """Draw a plane of one image of each structure: the transmitted light, and below it the target.

    Parameters
    ----------
    planes : mapping
        For each structure a plane of the signal and of the target, (Y, X) each.
    voxel_size_um : sequence of float, or None
        Z, Y, X; None if it is not known.
    """
    columns = min(len(planes), 6)
    rows = -(-len(planes) // columns)
    figure = Figure(figsize=(12, rows * 24 / columns * 0.85), layout="constrained")
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    _, um_y, um_x = voxel_size_um or (1.0, 1.0, 1.0)
    for number, (structure, (signal, target)) in enumerate(planes.items()):
        above, below = (grid[2 * (number // columns) + i, number % columns] for i in (0, 1))
        height, width = target.shape[0] * um_y, target.shape[1] * um_x
        for axes, plane, colours in ((above, signal, "gray"), (below, target, "magma")):
            axes.imshow(
                plane, cmap=colours, norm=Normalize(*np.percentile(plane, [0.3, 99.7])), extent=(0, width, height, 0)
            )
        above.set_title(structure, fontsize=9)
        scale_bar(below, width, height, "µm" if voxel_size_um else "px")
    return figure


def focus(target: np.ndarray) -> tuple[int, int, int]:
    """Return the plane of most contrast (variance) along each axis, not near an edge.

    Parameters
    ----------
    target : ndarray
        (Z, Y, X).

    Returns
    -------
    tuple of int
        Indices of the planes along Z, Y and X.
    """
    planes = []
    for axis in range(3):
        variance = target.var(axis=tuple({0, 1, 2} - {axis}))
        edge = len(variance) // 8
        planes.append(edge + int(variance[edge : len(variance) - edge].argmax()))
    z, y, x = planes
    return z, y, x


def scale_bar(axes: Axes, width: float, height: float, unit: str) -> None:
    """Draw a scale bar at the lower left: a round length, at most a third of the image."""
    length = max(size for size in (1, 2, 5, 10, 20, 50, 100, 200) if size <= max(width / 3, 1))
    left, bottom = width * 0.05, height * 0.93
    # a dark rim keeps the text readable on any image
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
