"""The report's figures and tables. Colours are safe for colour-blind readers."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ssp_model.files import replacing
from ssp_model.images import Image
from ssp_model.metrics import METRICS

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


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure and let it go."""
    with replacing(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def plot_history(history: str | Path, path: str | Path) -> None:
    """Loss curves: training crops and whole validation images, of all structures and of each."""
    table = pd.read_csv(history)
    validated = table.dropna(subset="val_mse")
    figure, (all_axes, each_axes) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
    all_axes.plot(table.epoch, table.train_mse, color=GREY, lw=0.8, label="training crops")
    all_axes.plot(validated.epoch, validated.val_mse, "o-", color=BLUE, ms=3, label="whole validation images")
    best = validated.loc[validated.val_mse.idxmin()]
    all_axes.plot(
        best.epoch, best.val_mse, "o", color=ORANGE, ms=7, label=f"kept: epoch {best.epoch:.0f}, {best.val_mse:.3f}"
    )
    all_axes.set(title="All structures", xlabel="epoch", ylabel="mean squared error (standardised intensity)")
    all_axes.legend()
    prefix = "val_mse_"
    columns = [column for column in table if column.startswith(prefix)]
    for (colour, style), column in zip(cycle(LINES), columns, strict=False):
        name = column.removeprefix(prefix)
        each_axes.plot(validated.epoch, validated[column], style, marker="o", ms=2.5, color=colour, label=name)
    each_axes.legend(fontsize=7, ncols=2 if len(columns) > 6 else 1)
    each_axes.set(title="Validation, by structure", xlabel="epoch")
    for axes in (all_axes, each_axes):
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, table.epoch.max() * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.2)
    save(figure, path)


def plot_scores(per_image: str | Path, per_structure: str | Path, path: str | Path) -> None:
    """Each structure's scores: a dot an image, a bar at their mean."""
    images, means = pd.read_csv(per_image), pd.read_csv(per_structure).set_index("structure")
    order = means.r2.sort_values().index
    titles = {"r2": "R² (higher is better)", "mse": "MSE (lower is better)", "mae": "MAE (lower is better)"}
    height = 1.2 + 0.34 * len(order)
    figure, panels = plt.subplots(1, 3, figsize=(10, height), layout="constrained", sharey=True)
    for axes, metric in zip(panels, ("r2", "mse", "mae"), strict=True):
        for row, structure in enumerate(order):
            values = images[metric][images.structure == structure]
            axes.plot(values, np.full(len(values), row), "o", color=BLUE, alpha=0.45, ms=4, mew=0)
            axes.plot([means[metric][structure]] * 2, [row - 0.32, row + 0.32], color=ORANGE, lw=2.5)
        overall = images[metric].mean()
        axes.axvline(overall, color=GREY, lw=0.8, ls="--", zorder=0)
        axes.set(title=titles[metric], xlabel=f"all {len(images)} images: {overall:.3f} (dashed)")
        axes.set_yticks(range(len(order)), order)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.grid(axis="x", alpha=0.2)
    figure.suptitle("Each dot is a test image, each bar the mean of a structure", fontsize=9, color=GREY)
    save(figure, path)


def plot_structure(per_image: str | Path, images: str | Path, structure: str, path: str | Path) -> None:
    """Signal, target, prediction and error of a structure's pictured test image, in XY and XZ.

    Parameters
    ----------
    per_image, images : path
        Scores and folder of images, as the evaluation writes them.
    structure : str
    path : path
        Picture to write.
    """
    table = pd.read_csv(per_image)
    row = table[(table.structure == structure) & table.pictured].iloc[0]
    stack = Image(Path(images) / row.file)
    signal, target, prediction = (stack.read(channel) for channel in range(3))
    z, y = focus_planes(target)
    size = [1.0 if um is None else um for um in stack.pixel_size_um]
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
    depth, height, width = (n * um for n, um in zip(signal.shape, size, strict=True))
    column_inches = 3.0
    inches = [column_inches * height / width, column_inches * depth / width, 0.12]
    figure, axes = plt.subplots(
        3, 4, figsize=(4 * column_inches, sum(inches) + 1.1), height_ratios=inches, layout="constrained"
    )
    for column, (title, volume, colours, norm) in enumerate(panels):
        xy, xz, bar = axes[:, column]
        shown = xy.imshow(volume[z], cmap=colours, norm=norm, extent=(0, width, height, 0), interpolation="nearest")
        xz.imshow(volume[::-1, y], cmap=colours, norm=norm, extent=(0, width, 0, depth), interpolation="nearest")
        xy.axhline((y + 0.5) * size[1], color="white", lw=0.6, ls=":")
        xz.axhline((z + 0.5) * size[0], color="white", lw=0.6, ls=":")
        xy.set_title(title)
        for panel in (xy, xz):
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        figure.colorbar(shown, cax=bar, orientation="horizontal")
        bar.tick_params(labelsize=7)
        bar.set_xlabel("standardised intensity", fontsize=7)
    axes[0, 0].set_ylabel("XY")
    axes[1, 0].set_ylabel("XZ")
    scale_bar(axes[0, 0], width, height, "px" if stack.pixel_size_um[1] is None else "µm")
    name = f"{structure}, test image of median R² ({row.r2:.3f}): {Path(row.path_czi).name}"
    figure.suptitle(name, fontsize=10)
    save(figure, path)


def plot_validation(images: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], path: str | Path) -> None:
    """One plane of a validation image of each structure: signal, target, prediction, (Z, Y, X) each."""
    figure, axes = plt.subplots(
        len(images), 3, figsize=(7, 2.4 * len(images)), layout="constrained", squeeze=False, dpi=80
    )
    for row, (structure, (signal, target, prediction)) in zip(axes, images.items(), strict=True):
        z, _ = focus_planes(target)
        fluorescence = Normalize(*np.percentile(target, [0.5, 99.8]))
        row[0].imshow(signal[z], cmap="gray")
        row[1].imshow(target[z], cmap="magma", norm=fluorescence)
        row[2].imshow(prediction[z], cmap="magma", norm=fluorescence)
        row[0].set_ylabel(structure)
        for panel, title in zip(row, ("transmitted light", "target", "prediction"), strict=True):
            panel.set(title=title if row is axes[0] else "", xticks=[], yticks=[])
    save(figure, path)


def focus_planes(target: np.ndarray) -> tuple[int, int]:
    """The Z plane and the Y line where the target has most to show (most variance)."""
    return int(target.var(axis=(1, 2)).argmax()), int(target.var(axis=(0, 2)).argmax())


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


TABLE_STYLE = """<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; color: #222; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; }
th, td { padding: 0.3rem 0.9rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.text th, .text td { text-align: left; }
tr:last-child.total td { font-weight: 600; border-top: 2px solid #888; }
.scroll { overflow-x: auto; }
</style>
"""


def html_page(title: str, parts: Sequence[str]) -> str:
    """A page for the report."""
    head = f"<title>{title}</title>{TABLE_STYLE}"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>"


def html_table(table: pd.DataFrame, total: bool = False, text: bool = False) -> str:
    """A table as HTML; `total` sets the last row apart, `text` aligns all columns to the left."""
    html = table.to_html(index=False, border=0, float_format="{:.4f}".format, classes="text" if text else None)
    if total:
        head, _, last = html.rpartition("<tr>")
        html = head + '<tr class="total">' + last
    return f'<div class="scroll">{html}</div>'


def table_splits(
    splits: Mapping[str, Mapping[str, str | Path]], left_out: Sequence[str | Path], path: str | Path
) -> None:
    """The page of the data: images in each split, and the images left out with their reasons.

    Parameters
    ----------
    splits : mapping
        For each structure the paths of its `train`, `val` and `test` lists.
    left_out : sequence of path
        The structures' lists of images that can't be used.
    """
    counts = pd.DataFrame(
        [{"structure": name, **{split: len(pd.read_csv(p)) for split, p in of.items()}} for name, of in splits.items()]
    )
    counts["all"] = counts[["train", "val", "test"]].sum(axis=1)
    counts.loc[len(counts)] = ["all structures", *counts.drop(columns="structure").sum()]
    parts = ["<h2>Images in each split</h2>", html_table(counts, total=True)]
    unusable = pd.concat([pd.read_csv(p) for p in left_out])
    parts.append("<h2>Images left out</h2>")
    if unusable.empty:
        parts.append("<p>None: every listed image could be used.</p>")
    else:
        unusable = unusable[["task", "path_czi", "reason"]].rename(columns={"task": "structure", "path_czi": "image"})
        parts.append(html_table(unusable, text=True))
    write_html(html_page("Data", parts), path)


def table_scores(per_structure: str | Path, overall: str | Path, path: str | Path) -> None:
    """The page of the scores: each structure's means and those over all images."""
    table = pd.read_csv(per_structure)
    table.loc[len(table)] = ["all images", *pd.read_csv(overall)[["images", *METRICS]].iloc[0]]
    table["images"] = table.images.astype(int)
    table = table.rename(columns={"mse": "MSE", "mae": "MAE", "r2": "R²"})
    parts = ["<h2>Scores on the test images</h2>", html_table(table, total=True)]
    write_html(html_page("Scores", parts), path)


def write_html(text: str, path: str | Path) -> None:
    """Write a page."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
