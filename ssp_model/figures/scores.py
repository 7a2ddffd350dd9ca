"""Pictures of scores and of intensities."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ssp_model.evaluation.metrics import METRIC
from ssp_model.figures.style import BLUE, GREY, ORANGE, save


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
    for axes, metric in zip(grid.flat, METRIC, strict=True):
        for row, structure in enumerate(order):
            values = images[metric][images.structure == structure]
            axes.plot(values, row + apart(len(values), 0.22), "o", color=BLUE, alpha=0.6, ms=4.5, mew=0)
            low, high = means[f"{metric}_low"][structure], means[f"{metric}_high"][structure]
            axes.plot([low, high], [row, row], color=ORANGE, lw=2)
            axes.plot([means[metric][structure]] * 2, [row - 0.32, row + 0.32], color=ORANGE, lw=2.5)
        overall = images[metric].mean()
        axes.axvline(overall, color=GREY, lw=0.8, ls="--", zorder=0)
        axes.set(title=METRIC[metric].title_with_direction, xlabel=f"all {len(images)} images: {overall:.3f} (dashed)")
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


def apart(count: int, reach: float) -> np.ndarray:
    """Where dots of one row stand, from its middle: side by side, as dots of like values would hide each other."""
    return np.linspace(-reach, reach, count) if count > 1 else np.zeros(1)
