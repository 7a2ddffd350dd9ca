"""Tables of scores: which images stand for a structure, means and their intervals."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ssp_model.evaluation.metrics import METRICS
from ssp_model.evaluation.statistics import IMAGES_AT_ONCE, RESAMPLES, interval
from ssp_model.files import write_table

logger = logging.getLogger(__name__)


def read_scores(path: str | Path) -> pd.DataFrame:
    """The scores of images, as `evaluate_structure` writes them; the correlation with a constant prediction is NaN."""
    table = pd.read_csv(path, keep_default_na=False, na_values={metric: [""] for metric in METRICS})
    return table.astype(dict.fromkeys(METRICS, float))


def places(r2: pd.Series) -> list[str]:
    """Which of a structure's images are the median by R2, the lower of two, the best and the worst."""
    order = r2.sort_values(kind="stable").index
    names = {order[-1]: "best", order[0]: "worst", order[(len(order) - 1) // 2]: "median"}
    return [names.get(i, "") for i in r2.index]


def summarise(
    per_structure_files: Sequence[str | Path], per_image: str | Path, per_structure: str | Path, overall: str | Path
) -> None:
    """Bring the structures' scores together.

    Parameters
    ----------
    per_structure_files : sequence of path
        What `evaluate_structure` has written.
    per_image : path
        CSV file to write: all images.
    per_structure : path
        CSV file to write: means of each structure's images, and 95% intervals of them (`mse_low`, `mse_high` ...).
    overall : path
        CSV file to write: a row `images`, the mean over all images as published, and a row `structures`, the mean over
        the structures' means, with intervals.
    """
    table = pd.concat([read_scores(path) for path in per_structure_files], ignore_index=True)
    rng = np.random.default_rng(0)
    counts, means = [], []
    rows = []
    for structure, group in table.groupby("structure"):
        values = group[list(METRICS)].to_numpy(float)
        # some at a time, so that memory does not grow with the images
        at_once = [len(part) for part in np.array_split(np.arange(RESAMPLES), -(-len(values) // IMAGES_AT_ONCE))]
        drawn = (rng.integers(len(values), size=(samples, len(values))) for samples in at_once)
        means.append(np.concatenate([values[part].mean(axis=1) for part in drawn]))
        counts.append(len(values))
        rows.append(
            {"structure": structure, "images": len(values), **interval(values.mean(axis=0), means[-1], len(values))}
        )
    by_structure = pd.DataFrame(rows)
    # images are drawn within their structures: a test set has so many of each
    columns = list(METRICS)
    over_images = interval(
        table[columns].to_numpy(float).mean(axis=0), np.average(means, axis=0, weights=counts), len(table)
    )
    over_structures = interval(by_structure[columns].to_numpy(float).mean(axis=0), np.mean(means, axis=0), len(table))
    totals = [
        {"mean_over": "images", "images": len(table), **over_images},
        {"mean_over": "structures", "images": len(table), **over_structures},
    ]
    write_table(table, per_image)
    write_table(by_structure, per_structure)
    write_table(pd.DataFrame(totals), overall)
    logger.info(
        "R2 %.4f, MSE %.4f, MAE %.4f over %d images",
        over_images["r2"], over_images["mse"], over_images["mae"], len(table),
    )  # fmt: skip


def with_interval(row: pd.Series, metric: str) -> str:
    """A mean with its interval, from a row of `summarise`'s tables."""
    digits = 2 if metric == "psnr" else 3
    if pd.isna(row[metric]):
        return "undefined"
    if pd.isna(row[f"{metric}_low"]):
        return f"{row[metric]:.{digits}f}"
    return f"{row[metric]:.{digits}f} ({row[f'{metric}_low']:.{digits}f} to {row[f'{metric}_high']:.{digits}f})"
