"""The report's figures. Colours are safe for colour-blind readers."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ssp_model.evaluation.metrics import SCORE_TITLES
from ssp_model.files import replacing
from ssp_model.images.reader import Image

EXPERT_LABELS = ("5³ conv", "3³ conv", "1³ conv", "3³ mean", "5³ mean")
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"
# Okabe & Ito's colours; a second round takes dashed lines
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
LINES = [(colour, style) for style in ("-", "--") for colour in COLOURS]

plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.dpi": 150,
        "savefig.bbox": "tight",
        "svg.fonttype": "none",
    }
)


def save(figure: Figure, path: str | Path, suffixes: Sequence[str] = (".png", ".svg")) -> None:
    """Write a figure as PNG and, beside it, as SVG, and let it go."""
    for suffix in suffixes:
        with replacing(Path(path).with_suffix(suffix)) as temporary:
            figure.savefig(temporary)
    plt.close(figure)


def plot_history(history: pd.DataFrame, path: str | Path) -> None:
    """Loss curves: training crops and whole validation images, of all structures and of each."""
    validated = history.dropna(subset="val_mse")
    figure, panels = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained", sharey=True)
    panels[0].plot(history.epoch, history.train_mse, color=GREY, lw=0.8, label="training crops")
    panels[0].plot(validated.epoch, validated.val_mse, "o-", color=BLUE, ms=3, label="whole validation images")
    best = validated.loc[validated.val_mse.idxmin()]
    panels[0].plot(
        best.epoch, best.val_mse, "o", color=ORANGE, ms=7, label=f"kept: epoch {best.epoch:.0f}, {best.val_mse:.3f}"
    )
    panels[0].set(title="All structures", ylabel="mean squared error\n(standardised intensity)")
    panels[0].legend()
    structures = [column.removeprefix("val_mse_") for column in history if column.startswith("val_mse_")]
    for (colour, style), name in zip(cycle(LINES), structures, strict=False):
        # crops are few an epoch: their mean over a few epochs shows the course
        smooth = history[f"train_mse_{name}"].rolling(max(len(history) // 40, 1), min_periods=1, center=True).mean()
        panels[1].plot(history.epoch, smooth, style, color=colour, lw=1, label=name)
        panels[2].plot(validated.epoch, validated[f"val_mse_{name}"], style, marker="o", ms=2.5, color=colour)
    panels[1].legend(fontsize=7, ncols=2 if len(structures) > 6 else 1)
    panels[1].set_title("Training crops, by structure")
    panels[2].set_title("Validation, by structure")
    for axes in panels:
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, history.epoch.max() * 1.02)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.2)
    save(figure, path)


def plot_speed(history: pd.DataFrame, path: str | Path) -> None:
    """Crops a second, peak memory and learning rate over the epochs."""
    figure, panels = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained")
    for axes, column, title, unit in (
        (panels[0], "crops_per_s", "Throughput of training", "crops a second"),
        (panels[1], "peak_memory_mb", "Peak memory", "MiB"),
        (panels[2], "learning_rate", "Learning rate", "learning rate"),
    ):
        axes.plot(history.epoch, history[column], color=BLUE, lw=1)
        axes.set(title=title, xlabel="epoch", ylabel=unit)
        axes.set_ylim(0, history[column].max() * 1.1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.2)
    save(figure, path)


def plot_gates(gates: Mapping[str, np.ndarray], structures: Sequence[str], path: str | Path) -> None:
    """How much each structure relies on each expert, one panel a convolution.

    Parameters
    ----------
    gates : mapping
        By convolution, (T, E), as `RepMode.gates` gives.
    structures : sequence of str
        In the order of the tasks.
    path : path
        Picture to write.
    """
    columns = 5
    rows = -(-len(gates) // columns)
    height = 0.6 + 0.19 * len(structures)
    figure, grid = plt.subplots(
        rows, columns, figsize=(12, rows * height + 1), layout="constrained", sharex=True, sharey=True
    )
    top = max(weights.max() for weights in gates.values())
    # white is an equal share of each expert
    norm = TwoSlopeNorm(1 / len(EXPERT_LABELS), 0, max(top, 1 / len(EXPERT_LABELS) + 1e-3))
    for axes, (name, weights) in zip(grid.flat, gates.items(), strict=False):
        shown = axes.imshow(weights, cmap="PuOr_r", norm=norm, aspect="auto")
        axes.set_title(name, fontsize=8)
        axes.set_xticks(range(len(EXPERT_LABELS)), EXPERT_LABELS, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(structures)), structures, fontsize=7)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    for axes in grid.flat[len(gates) :]:
        axes.set_visible(False)
    # the panel above an empty place is the last of its column
    for axes in grid.flat[len(gates) - columns : len(gates)]:
        axes.tick_params(labelbottom=True)
    bar = figure.colorbar(shown, ax=grid, shrink=0.6, pad=0.01)
    bar.set_label("weight of the expert (mean over output channels)")
    save(figure, path)


def plot_scores(images: pd.DataFrame, means: pd.DataFrame, path: str | Path) -> None:
    """Each structure's scores: a dot an image, a bar at their mean with its 95% interval.

    Parameters
    ----------
    images, means : DataFrame
        Scores of each image and of each structure, as `scores.summarise` writes them.
    path : path
        Picture to write.
    """
    means = means.set_index("structure")
    order = means.r2.sort_values().index
    height = 1.2 + 0.34 * len(order)
    figure, grid = plt.subplots(2, 3, figsize=(12, 2 * height), layout="constrained", sharey=True)
    for axes, (metric, title) in zip(grid.flat, SCORE_TITLES.items(), strict=True):
        for row, structure in enumerate(order):
            values = images[metric][images.structure == structure]
            axes.plot(values, row + apart(len(values), 0.22), "o", color=BLUE, alpha=0.6, ms=4.5, mew=0)
            low, high = means[f"{metric}_low"][structure], means[f"{metric}_high"][structure]
            axes.plot([low, high], [row, row], color=ORANGE, lw=2)
            axes.plot([means[metric][structure]] * 2, [row - 0.32, row + 0.32], color=ORANGE, lw=2.5)
        overall = images[metric].mean()
        axes.axvline(overall, color=GREY, lw=0.8, ls="--", zorder=0)
        axes.set(title=title, xlabel=f"all {len(images)} images: {overall:.3f} (dashed)")
        axes.set_yticks(range(len(order)), order)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.grid(axis="x", alpha=0.2)
    save(figure, path)


def plot_runs(runs: pd.DataFrame, path: str | Path) -> None:
    """R2 of each run with its 95% interval, by experiment; a bar at the mean over seeds."""
    experiments = list(runs.experiment.unique())
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.5 * len(experiments)), layout="constrained")
    for row, name in enumerate(experiments):
        of = runs[runs.experiment == name]
        axes.errorbar(
            of.r2,
            row + apart(len(of), 0.2),
            xerr=[of.r2 - of.r2_low, of.r2_high - of.r2],
            fmt="o",
            color=BLUE,
            ms=4,
            lw=1,
            alpha=0.8,
        )
        axes.plot([of.r2.mean()] * 2, [row - 0.33, row + 0.33], color=ORANGE, lw=2.5)
    axes.set_yticks(range(len(experiments)), experiments)
    axes.set(xlabel="R² over all test images (higher is better)", ylim=(-0.6, len(experiments) - 0.4))
    axes.grid(axis="x", alpha=0.2)
    save(figure, path)


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


def plot_intensities(index: pd.DataFrame, path: str | Path) -> None:
    """Raw intensities of each image, mean and standard deviation in counts, before standardising.

    Parameters
    ----------
    index : DataFrame
        Samples of all splits, as in the datasets' `/index`.
    path : path
        Picture to write.
    """
    structures = sorted(index.task.unique())
    figure, panels = plt.subplots(1, 2, figsize=(12, 1.2 + 0.3 * len(structures)), layout="constrained", sharey=True)
    for axes, role, title in ((panels[0], "signal", "Transmitted light"), (panels[1], "target", "Fluorescence target")):
        for row, structure in enumerate(structures):
            images = index[index.task == structure]
            axes.errorbar(
                images[f"{role}_mean"],
                row + apart(len(images), 0.25),
                xerr=images[f"{role}_std"],
                fmt="o",
                ms=3,
                lw=0.6,
                color=BLUE,
                alpha=0.6,
            )
        axes.set(title=title, xlabel="counts: mean of an image, bars its standard deviation")
        axes.set_yticks(range(len(structures)), structures)
        axes.grid(axis="x", alpha=0.2)
    save(figure, path)


def plot_validation(images: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], path: str | Path) -> None:
    """One plane of a validation image of each structure: signal, target, prediction, (Z, Y, X) each."""
    figure, axes = plt.subplots(
        len(images), 3, figsize=(7, 2.4 * len(images)), layout="constrained", squeeze=False, dpi=80
    )
    for row, (structure, (signal, target, prediction)) in zip(axes, images.items(), strict=True):
        z, _, _ = focus(target)
        fluorescence = Normalize(*np.percentile(target, [0.5, 99.8]))
        row[0].imshow(signal[z], cmap="gray")
        row[1].imshow(target[z], cmap="magma", norm=fluorescence)
        row[2].imshow(prediction[z], cmap="magma", norm=fluorescence)
        row[0].set_ylabel(structure)
        for panel, title in zip(row, ("transmitted light", "target", "prediction"), strict=True):
            panel.set(title=title if row is axes[0] else "", xticks=[], yticks=[])
    save(figure, path, suffixes=(".png",))


def apart(count: int, reach: float) -> np.ndarray:
    """Where dots of one row stand, from its middle: side by side, as dots of like values would hide each other."""
    return np.linspace(-reach, reach, count) if count > 1 else np.zeros(1)


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
