"""Figures that say how far predictions can be trusted."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ssp_model.figures.scores import spread
from ssp_model.figures.style import BLUE, GREY, ORANGE, style

PERIODS_UM = (8, 4, 2, 1, 0.7, 0.5, 0.3, 0.2)
"""Sizes of details that an axis of frequencies is labelled with."""

LOWEST_R2 = -0.2
"""Where dots are drawn whose R2 is lower: few of them would squeeze all others."""


@style()
def plot_ceilings(images: pd.DataFrame) -> Figure:
    """Draw the R2 of each image as a dot, and the highest one that is possible as a bar, a row a structure.

    Parameters
    ----------
    images : DataFrame
        One row an image: `structure`, `r2`, `r2_ceiling`.
    """
    order = images.groupby("structure").r2_ceiling.mean().sort_values(na_position="first").index
    figure = Figure(figsize=(8, 1.2 + 0.4 * len(order)), layout="constrained")
    axes = figure.subplots()
    for row, structure in enumerate(order):
        of = images[images.structure == structure]
        places = row + spread(len(of), 0.32)
        reached = of.r2.clip(lower=LOWEST_R2)
        axes.hlines(places, reached, of.r2_ceiling, color=GREY, lw=0.5, alpha=0.5)
        half = 0.32 / len(of)
        axes.vlines(of.r2_ceiling, places - half, places + half, color=ORANGE, lw=2.5)
        axes.plot(reached, places, "o", color=BLUE, ms=3.5, mew=0)
    axes.plot([], [], "o", color=BLUE, ms=3.5, mew=0, label="reached")
    axes.plot([], [], "|", color=ORANGE, mew=2.5, label="highest possible")
    axes.set_yticks(range(len(order)), order)
    axes.set(xlabel="R² of a test image", xlim=(min(0, images.r2.clip(lower=LOWEST_R2).min()) - 0.02, 1.02))
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.grid(axis="x", alpha=0.2)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


@style()
def plot_shell_correlation(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the Fourier shell correlation of each structure: thin lines for images, thick ones for their means.

    Parameters
    ----------
    curves : mapping
        By structure, the points of its images' curves: `image`, `curve` (`fsc_xy`, `half_bit_xy`, and for `z`), `x` in
        1/um, `y`.
    """
    figure, grid = one_each(len(curves), (3, 2.2), share=True)
    for axes, (structure, points) in zip(grid.flat, curves.items(), strict=False):
        by_curve = {
            name: of_curve.pivot_table(index="x", columns="image", values="y").interpolate(limit_area="inside")
            for name, of_curve in points.groupby("curve")
        }
        for direction, colour, title in (("xy", BLUE, "along X and Y"), ("z", ORANGE, "along Z")):
            axes.plot(by_curve[f"fsc_{direction}"], color=colour, lw=0.5, alpha=0.35)
            axes.plot(by_curve[f"fsc_{direction}"].mean(axis=1), color=colour, lw=1.8, label=title)
            axes.plot(by_curve[f"half_bit_{direction}"].mean(axis=1), color=colour, lw=0.8, ls=":")
        axes.axhline(0, color=GREY, lw=0.5)
        axes.set_title(structure)
        axes.grid(alpha=0.2)
    highest = max(points.x.max() for points in curves.values())
    periods = [period for period in PERIODS_UM if 1 / period <= highest]
    grid[0, 0].set(xlim=(0, highest), ylim=(-0.1, 1.02))
    for axes in grid.flat:
        axes.set_xticks([1 / period for period in periods], [f"{period:g}" for period in periods])
    grid[0, 0].legend(fontsize=7)
    figure.supxlabel("size of details in um (finer to the right)", fontsize=9)
    figure.supylabel("correlation of prediction and target", fontsize=9)
    return figure


@style()
def plot_reliability(levels: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw expected against real error of each structure, before and after the calibration.

    Parameters
    ----------
    levels : mapping
        By structure, a row for each level of uncertainty, with `spread`, `expected` and `error`.
    """
    figure, grid = one_each(len(levels), (2.6, 2.6), share=False)
    for axes, (structure, table) in zip(grid.flat, levels.items(), strict=False):
        end = 1.05 * table[["spread", "expected", "error"]].to_numpy().max()
        axes.plot([0, end], [0, end], color=GREY, lw=0.8)
        axes.plot(table.spread, table.error, "o--", color=ORANGE, ms=3, lw=1, label="before calibration")
        axes.plot(table.expected, table.error, "o-", color=BLUE, ms=3, lw=1.5, label="after calibration")
        axes.set(title=structure, xlim=(0, end), ylim=(0, end), aspect="equal")
        axes.grid(alpha=0.2)
    grid[0, 0].legend(fontsize=7, loc="lower right")
    figure.supxlabel("expected error", fontsize=9)
    figure.supylabel("real error", fontsize=9)
    return figure


def one_each(number: int, size: tuple[float, float], *, share: bool) -> tuple[Figure, np.ndarray]:
    """Return a figure with axes for a number of structures, four a row, each of a width and height in inches.

    `share`: all have the same limits, and are labelled at the edges only.
    """
    num_columns = min(number, 4)
    num_rows = -(-number // num_columns)
    width, height = size
    figure = Figure(figsize=(width * num_columns + 0.5, height * num_rows + 0.5), layout="constrained")
    grid = figure.subplots(num_rows, num_columns, sharex=share, sharey=share, squeeze=False)
    for axes in grid.flat[number:]:
        axes.set_visible(False)
    for axes in grid.flat[max(number - num_columns, 0) : number]:
        axes.tick_params(labelbottom=True)
    return figure, grid
