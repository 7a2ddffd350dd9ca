"""Pictures of a training."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.ticker import MaxNLocator

from ssp_model.figures.images import focus
from ssp_model.figures.style import BLUE, GREY, LINES, ORANGE, save

EXPERT_LABELS = ("5³ conv", "3³ conv", "1³ conv", "3³ mean", "5³ mean")


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
