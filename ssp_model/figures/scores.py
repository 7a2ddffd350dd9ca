"""Figures of scores and of intensities."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ssp_model.evaluation.metrics import METRIC
from ssp_model.figures.style import BLUE, GREY, ORANGE, style


@style()
def plot_scores(images: pd.DataFrame, means: pd.DataFrame) -> Figure:
    """Draw the scores of each structure: a dot for each image, a bar at the mean, a line for its 95% interval.

    Parameters
    ----------
    images, means : DataFrame
        Scores of each image and of each structure, as `evaluation.scores.summarise` writes them.
    """
    means = means.set_index("structure")
    order = means.r2.sort_values().index
    height = 1.2 + 0.34 * len(order)
    num_rows = -(-len(METRIC) // 3)
    figure = Figure(figsize=(12, num_rows * height), layout="constrained")
    grid = figure.subplots(num_rows, 3, sharey=True, squeeze=False)
    for axes in grid.flat[len(METRIC) :]:
        axes.set_visible(False)
    for axes, metric in zip(grid.flat, METRIC, strict=False):
        for row, structure in enumerate(order):
            values = images[metric][images.structure == structure]
            axes.plot(values, row + spread(len(values), 0.22), "o", color=BLUE, alpha=0.6, ms=4.5, mew=0)
            low, high = means[f"{metric}_low"][structure], means[f"{metric}_high"][structure]
            axes.plot([low, high], [row, row], color=ORANGE, lw=2)
            axes.plot([means[metric][structure]] * 2, [row - 0.32, row + 0.32], color=ORANGE, lw=2.5)
        overall = images[metric].mean()
        axes.axvline(overall, color=GREY, lw=0.8, ls="--", zorder=0)
        axes.set(title=METRIC[metric].title_with_direction, xlabel=f"all {len(images)} images: {overall:.3f} (dashed)")
        axes.set_yticks(range(len(order)), order)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.grid(axis="x", alpha=0.2)
    return figure


@style()
def plot_runs(runs: pd.DataFrame) -> Figure:
    """Draw the R2 of each run with its 95% interval, one row an experiment; a bar marks the mean over its seeds.

    Parameters
    ----------
    runs : DataFrame
        One row a run: `experiment`, `r2`, `r2_low`, `r2_high`.
    """
    experiments = list(runs.experiment.unique())
    figure = Figure(figsize=(8, 1.2 + 0.5 * len(experiments)), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(experiments):
        of = runs[runs.experiment == name]
        axes.errorbar(
            of.r2,
            row + spread(len(of), 0.2),
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
    return figure


@style()
def plot_intensities(index: pd.DataFrame) -> Figure:
    """Draw the mean and the standard deviation of each raw image, in counts.

    Parameters
    ----------
    index : DataFrame
        Samples of all splits, with the columns of a dataset's `/index`.
    """
    structures = sorted(index.task.unique())
    figure = Figure(figsize=(12, 1.2 + 0.3 * len(structures)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, role, title in ((panels[0], "signal", "Transmitted light"), (panels[1], "target", "Fluorescence target")):
        for row, structure in enumerate(structures):
            images = index[index.task == structure]
            axes.errorbar(
                images[f"{role}_mean"],
                row + spread(len(images), 0.25),
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
    return figure


def spread(count: int, reach: float) -> np.ndarray:
    """Return offsets for the dots of one row, from -reach to reach: dots of equal values would hide each other."""
    return np.linspace(-reach, reach, count) if count > 1 else np.zeros(1)
