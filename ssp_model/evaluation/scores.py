"""Tables of scores: which images stand for a structure, means and their intervals."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ssp_model.errors import InputError
from ssp_model.evaluation.metrics import ALL_METRICS, METRICS
from ssp_model.evaluation.statistics import IMAGES_AT_ONCE, RESAMPLES, interval, mean_of
from ssp_model.files import write_table

logger = logging.getLogger(__name__)


class Run(NamedTuple):
    """An experiment with a seed; the first two columns of every table of scores."""

    experiment: str
    seed: int


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read the scores of images, as `evaluate_structure` writes them; what is undefined is NaN."""
    table = pd.read_csv(
        path, keep_default_na=False, na_values={metric: [""] for metric in ALL_METRICS}, dtype={"experiment": str}
    )
    return table.astype(dict.fromkeys(metrics_of(table), float))


def metrics_of(table: pd.DataFrame) -> list[str]:
    """Return the metrics that a table has: those of voxels, and those of the panels that were asked for."""
    return [name for name in ALL_METRICS if name in table or name in METRICS]


def places(r2: pd.Series) -> list[str]:
    """Say which of a structure's images are the median by R2, the lower of two, the best and the worst."""
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
        What `evaluate_structure` has written, of one run.
    per_image : path
        CSV file to write: all images.
    per_structure : path
        CSV file to write: means of each structure's images, and 95% intervals of them (`mse_low`, `mse_high` ...), from
        a bootstrap over images, or over groups if there are groups.
    overall : path
        CSV file to write: a row `images`, the mean over all images as published, and a row `structures`, the mean over
        the structures' means, with intervals.

    Raises
    ------
    InputError
        The files are not of one run.
    """
    table = pd.concat([read_scores(path) for path in per_structure_files], ignore_index=True)
    run = _only_run(table)._asdict()
    metrics = metrics_of(table)
    rng = np.random.default_rng(0)
    counts, means = [], []
    rows = []
    for structure, group in table.groupby("structure"):
        values = group[metrics].to_numpy(float)
        codes = group_codes(group)
        means.append(_resampled_means(metrics, values, codes, rng))
        counts.append(len(values))
        num_drawn = len(np.unique(codes))
        rows.append(
            {**run, "structure": structure, "images": len(values)}
            | ({"groups": num_drawn} if "group" in table else {})
            | interval(metrics, mean_of(metrics, values), means[-1], num_drawn)
        )
    by_structure = pd.DataFrame(rows)
    draws = np.stack(means, axis=1)
    num_drawn = len(np.unique(group_codes(table)))
    of_images, of_structures = (part[metrics].to_numpy(float) for part in (table, by_structure))
    over_images = interval(metrics, mean_of(metrics, of_images), mean_of(metrics, draws, counts), num_drawn)
    over_structures = interval(metrics, mean_of(metrics, of_structures), mean_of(metrics, draws), num_drawn)
    totals = [
        {**run, "mean_over": "images", "images": len(table), **over_images},
        {**run, "mean_over": "structures", "images": len(table), **over_structures},
    ]
    write_table(table, per_image)
    write_table(by_structure, per_structure)
    write_table(pd.DataFrame(totals), overall)
    logger.info(
        "R2 %.4f, MSE %.4f, MAE %.4f over %d images",
        over_images["r2"], over_images["mse"], over_images["mae"], len(table),
    )  # fmt: skip


def _only_run(table: pd.DataFrame) -> Run:
    runs = [Run(*row) for row in table[list(Run._fields)].drop_duplicates().itertuples(index=False)]
    if len(runs) > 1:
        found = ", ".join(f"{run.experiment} seed {run.seed}" for run in runs)
        raise InputError(f"The scores are of several runs ({found}); sum up one run at a time.")
    return runs[0]


def group_codes(table: pd.DataFrame) -> np.ndarray:
    """Return the number of each image's group; each image is a group of its own if there are no groups."""
    if "group" not in table:
        return np.arange(len(table))
    codes, _ = pd.factorize(table.group, sort=True)
    return codes


def _resampled_means(
    metrics: Sequence[str], values: np.ndarray, codes: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the bootstrap means of a structure's images, (resamples, metrics), from values (images, metrics).

    Images are drawn within their structure, as a test set has so many of each. Images of a group are alike, so groups
    are drawn as a whole.
    """
    members = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    if len(members) < len(values):
        drawn = rng.integers(len(members), size=(RESAMPLES, len(members)))
        return np.stack([mean_of(metrics, values[np.concatenate([members[i] for i in row])]) for row in drawn])
    # some at a time, so that memory does not grow with the images
    at_once = [len(part) for part in np.array_split(np.arange(RESAMPLES), -(-len(values) // IMAGES_AT_ONCE))]
    parts = (rng.integers(len(values), size=(samples, len(values))) for samples in at_once)
    return np.concatenate([mean_of(metrics, values[part]) for part in parts])


def with_interval(row: pd.Series, metric: str, digits: int | None = None) -> str:
    """Write a mean with its interval, from a row of `summarise`'s tables. Without digits, the metric says them."""
    digits = ALL_METRICS[metric].digits if digits is None else digits
    if pd.isna(row[metric]):
        return "undefined"
    if pd.isna(row[f"{metric}_low"]):
        return f"{row[metric]:.{digits}f}"
    return f"{row[metric]:.{digits}f} ({row[f'{metric}_low']:.{digits}f} to {row[f'{metric}_high']:.{digits}f})"
