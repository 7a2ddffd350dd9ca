"""The figure of scores against costs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssp_model.evaluation.metrics import METRIC
from ssp_model.figures.style import BLUE, GREY, style

LOG_FROM = 5
"""Ratio of the highest to the lowest cost from which the axis is logarithmic."""

LABEL_IN = 0.2
"""Least distance of two labels, in inches."""

AROUND_IN = 0.7
"""Height of a figure that is not its axes': the label of an axis and its numbers."""


@style()
def plot_costs(points: pd.DataFrame, metric: str, costs: dict[str, str]) -> Figure:
    """Draw scores against costs, a panel for each cost; a line is the score's 95% interval.

    The labels stand in a column on the right of a panel, so that they never overlap.

    Parameters
    ----------
    points : DataFrame
        A row a method: `title`, the score as `value`, `low` and `high`, and the costs. A method whose cost is not known
        is left out of this cost's panel.
    metric : str
        Name of the metric.
    costs : dict
        Label of the axis, by the column of the cost.
    """
    figure = Figure(figsize=(6.2 * len(costs), 1.6 + 0.32 * len(points)), layout="constrained")
    panels = figure.subplots(1, len(costs), squeeze=False)[0]
    for axes, (cost, name) in zip(panels, costs.items(), strict=True):
        known = points[points[cost].notna()]
        draw_points(axes, known, cost)
        axes.set(xlabel=name, ylabel=METRIC[metric].title_with_direction)
        step = LABEL_IN / (figure.get_figheight() - AROUND_IN)
        label_points(axes, known[cost].tolist(), known.value.tolist(), known.title.tolist(), step=step)
    return figure


def draw_points(axes: Axes, points: pd.DataFrame, cost: str) -> None:
    """Draw the points of a panel, and set the limits of its axes."""
    ends = [points.value - points.low.fillna(points.value), points.high.fillna(points.value) - points.value]
    axes.errorbar(points[cost], points.value, yerr=ends, fmt="o", color=BLUE, ms=5, lw=1, alpha=0.9, zorder=3)
    if not points.empty and points[cost].min() > 0 and points[cost].max() / points[cost].min() > LOG_FROM:
        axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.grid(alpha=0.2)


def label_points(axes: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str], *, step: float) -> None:
    """Write the names of points beside a panel, each joined to its point by a thin line.

    Two names are at least `step` apart, as a share of the axis.
    """
    bottom, top = axes.get_ylim()
    heights = spread_out([(value - bottom) / (top - bottom) for value in y], step)
    for place_x, place_y, name, height in zip(x, y, names, heights, strict=True):
        axes.annotate(
            name,
            (place_x, place_y),
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)},
        )


def spread_out(places: Sequence[float], step: float) -> list[float]:
    """Move places apart as little as needed for a distance of `step` between neighbours; their order stays."""
    order = np.argsort(places, kind="stable")
    # neighbours that are too near each other form a block, which stays around the mean of its places
    blocks: list[list[float]] = []
    for place in np.asarray(places, float)[order]:
        blocks.append([place])
        while len(blocks) > 1 and _start(blocks[-1], step) - _end(blocks[-2], step) < step:
            last = blocks.pop()
            blocks[-1] += last
    spread = np.empty(len(order))
    spread[order] = [_start(block, step) + step * number for block in blocks for number in range(len(block))]
    return spread.tolist()


def _start(block: list[float], step: float) -> float:
    return float(np.mean(block)) - step * (len(block) - 1) / 2


def _end(block: list[float], step: float) -> float:
    return float(np.mean(block)) + step * (len(block) - 1) / 2
