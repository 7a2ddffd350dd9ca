"""Figures of a training."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ssp_model.figures.images import focus
from ssp_model.figures.style import BLUE, GREY, LINES, ORANGE, style


@style()
def plot_history(history: pd.DataFrame) -> Figure:
    """Draw the loss curves: training crops and whole validation images, for all structures and for each.

    Parameters
    ----------
    history : DataFrame
        One row an epoch, as `history.csv` has them.
    """
    validated = history.dropna(subset="val_mse")
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    panels[0].plot(history.epoch, history.train_mse, color=GREY, lw=0.8, label="training crops")
    panels[0].plot(validated.epoch, validated.val_mse, "o-", color=BLUE, ms=3, label="whole validation images")
    best = validated.loc[validated.val_mse.idxmin()]
    panels[0].plot(
        best.epoch, best.val_mse, "o", color=ORANGE, ms=7, label=f"kept: epoch {best.epoch:.0f}, {best.val_mse:.3f}"
    )
    panels[0].set(title="All structures", ylabel="mean squared error\n(standardised intensity)")
    panels[0].legend()
    structures = [column.removeprefix("val_mse_") for column in history if column.startswith("val_mse_")]
    for (colour, dashes), name in zip(cycle(LINES), structures, strict=False):
        # an epoch has few crops of a structure: a running mean over epochs shows the trend
        smooth = history[f"train_mse_{name}"].rolling(max(len(history) // 40, 1), min_periods=1, center=True).mean()
        panels[1].plot(history.epoch, smooth, dashes, color=colour, lw=1, label=name)
        panels[2].plot(validated.epoch, validated[f"val_mse_{name}"], dashes, marker="o", ms=2.5, color=colour)
    panels[1].legend(fontsize=7, ncols=2 if len(structures) > 6 else 1)
    panels[1].set_title("Training crops, by structure")
    panels[2].set_title("Validation, by structure")
    for axes in panels:
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, history.epoch.max() * 1.02)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.2)
    return figure


@style()
def plot_speed(history: pd.DataFrame) -> Figure:
    """Draw crops per second, peak memory and learning rate, by epoch.

    Parameters
    ----------
    history : DataFrame
        One row an epoch, as `history.csv` has them.
    """
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    panels = figure.subplots(1, 3)
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
    return figure


@style()
def plot_gates(weights: Mapping[str, ArrayLike], experts: Sequence[str], structures: Sequence[str]) -> Figure:
    """Draw how much each structure uses each expert, one panel for each convolution.

    Parameters
    ----------
    weights : mapping
        For each convolution the weights of its experts, (T, E): T structures, E experts.
    experts : sequence of str
        Names of the experts, in the order of E.
    structures : sequence of str
        Names of the structures, in the order of T.
    """
    columns = min(5, len(weights))
    rows = -(-len(weights) // columns)
    height = 0.6 + 0.19 * len(structures)
    figure = Figure(figsize=(12, rows * height + 1), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    by_convolution = {name: np.asarray(values) for name, values in weights.items()}
    # white is an equal share for each expert
    equal = 1 / len(experts)
    norm = TwoSlopeNorm(equal, 0, max(*(values.max() for values in by_convolution.values()), equal + 1e-3))
    for axes, (name, values) in zip(grid.flat, by_convolution.items(), strict=False):
        shown = axes.imshow(values, cmap="PuOr_r", norm=norm, aspect="auto")
        axes.set_title(name, fontsize=8)
        axes.set_xticks(range(len(experts)), experts, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
        axes.set_yticks(range(len(structures)), structures, fontsize=7)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    for axes in grid.flat[len(weights) :]:
        axes.set_visible(False)
    bar = figure.colorbar(shown, ax=grid, shrink=0.6, pad=0.01)
    bar.set_label("weight of the expert (mean over output channels)")
    # The last row may be short. Its columns end one row higher, and their labels go into the empty places: they come
    # after the layout, which would push the rows apart for them.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in grid.flat[len(weights) - columns : len(weights)]:
        axes.tick_params(labelbottom=True)
    return figure


@style()
def plot_validation(images: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Draw one plane of a validation image of each structure.

    Parameters
    ----------
    images : mapping
        For each structure: signal, target and prediction, (Z, Y, X) each.
    """
    figure = Figure(figsize=(7, 2.4 * len(images)), layout="constrained", dpi=80)
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, (structure, (signal, target, prediction)) in zip(axes, images.items(), strict=True):
        z, _, _ = focus(target)
        fluorescence = Normalize(*np.percentile(target, [0.5, 99.8]))
        row[0].imshow(signal[z], cmap="gray")
        row[1].imshow(target[z], cmap="magma", norm=fluorescence)
        row[2].imshow(prediction[z], cmap="magma", norm=fluorescence)
        row[0].set_ylabel(structure)
        for panel, title in zip(row, ("transmitted light", "target", "prediction"), strict=True):
            panel.set(title=title if row is axes[0] else "", xticks=[], yticks=[])
    return figure
