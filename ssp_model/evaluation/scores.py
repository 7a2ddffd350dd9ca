"""Tables of scores: which images stand for a structure, means and their intervals."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ssp_model.errors import InputError
from ssp_model.evaluation.metrics import METRIC, METRICS
from ssp_model.evaluation.statistics import IMAGES_AT_ONCE, RESAMPLES, interval
from ssp_model.files import write_table

logger = logging.getLogger(__name__)


class Run(NamedTuple):
    """An experiment with a seed; the first two columns of every table of scores."""

    experiment: str
    seed: int


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read the scores of images, as `evaluate_structure` writes them; a correlation that is undefined is NaN."""
    table = pd.read_csv(
        path, keep_default_na=False, na_values={metric: [""] for metric in METRICS}, dtype={"experiment": str}
    )
    return table.astype(dict.fromkeys(METRICS, float))


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
        CSV file to write: means of each structure's images, and 95% intervals of them (`mse_low`, `mse_high` ...).
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
    rng = np.random.default_rng(0)
    counts, means = [], []
    rows = []
    for structure, group in table.groupby("structure"):
        values = group[list(METRICS)].to_numpy(float)
        means.append(_resampled_means(values, rng))
        counts.append(len(values))
        rows.append(
            {**run, "structure": structure, "images": len(values)}
            | interval(values.mean(axis=0), means[-1], len(values))
        )
    by_structure = pd.DataFrame(rows)
    columns = list(METRICS)
    over_images = interval(
        table[columns].to_numpy(float).mean(axis=0), np.average(means, axis=0, weights=counts), len(table)
    )
    over_structures = interval(by_structure[columns].to_numpy(float).mean(axis=0), np.mean(means, axis=0), len(table))
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


def _resampled_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the bootstrap means of a structure's images, (resamples, metrics), from values (images, metrics).

    Images are drawn within their structure, as a test set has so many of each.
    """
    # some at a time, so that memory does not grow with the images
    at_once = [len(part) for part in np.array_split(np.arange(RESAMPLES), -(-len(values) // IMAGES_AT_ONCE))]
    drawn = (rng.integers(len(values), size=(samples, len(values))) for samples in at_once)
    return np.concatenate([values[part].mean(axis=1) for part in drawn])


def with_interval(row: pd.Series, metric: str) -> str:
    """Write a mean with its interval, from a row of `summarise`'s tables."""
    digits = METRIC[metric].digits
    if pd.isna(row[metric]):
        return "undefined"
    if pd.isna(row[f"{metric}_low"]):
        return f"{row[metric]:.{digits}f}"
    return f"{row[metric]:.{digits}f} ({row[f'{metric}_low']:.{digits}f} to {row[f'{metric}_high']:.{digits}f})"
