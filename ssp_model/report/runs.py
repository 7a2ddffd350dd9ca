"""Tables of runs, in which each row says its experiment and seed, and tables of scores."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ssp_model.errors import InputError
from ssp_model.evaluation.metrics import METRIC, Metric
from ssp_model.evaluation.scores import Run, with_interval
from ssp_model.report.html import Table


def names_its_run(path: str | Path) -> bool:
    """Whether a table has the columns `experiment` and `seed`. The tables of version 0.1.0 don't have them."""
    return set(Run._fields) <= set(pd.read_csv(path, nrows=0))


def read_runs(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read tables of one or more runs as one table.

    Parameters
    ----------
    paths : sequence of path
        CSV files with the columns `experiment` and `seed`.

    Returns
    -------
    DataFrame
        All rows, in the order of the files. Without a file it has these two columns only.

    Raises
    ------
    InputError
        A file has no such columns.
    """
    tables = [pd.DataFrame({column: [] for column in Run._fields})]
    for path in paths:
        if not names_its_run(path):
            raise InputError(
                f"{path} has no columns experiment and seed, so an older version has written it; delete it and run "
                "the workflow again."
            )
        # an experiment may be called 007
        tables.append(pd.read_csv(path, dtype={"experiment": str}))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def training_totals(histories: pd.DataFrame) -> pd.DataFrame:
    """Sum up the training of each run, from histories with one row an epoch.

    Returns
    -------
    DataFrame
        By experiment and seed: `epochs`, `training_s` and `training_mib`; NaN where a history does not tell.
    """
    known = histories.reindex(columns=[*Run._fields, "epoch", "seconds", "peak_memory_mb"])
    return known.groupby(list(Run._fields)).agg(
        epochs=("epoch", "max"),
        # an epoch of unknown time makes the sum unknown
        training_s=("seconds", lambda seconds: seconds.sum(skipna=False)),
        training_mib=("peak_memory_mb", "max"),
    )


def score_table(
    left: pd.DataFrame, scores: pd.DataFrame, num_totals: int = 0, *, metrics: Sequence[Metric] = tuple(METRIC.values())
) -> Table:
    """List scores with their intervals.

    Parameters
    ----------
    left : DataFrame
        The first columns, one row for each row of `scores`.
    scores : DataFrame
        For each metric its mean and its interval, such as `mse`, `mse_low` and `mse_high`.
    num_totals : int
        Number of last rows that are totals.
    metrics : sequence of Metric
        Which to list; all of voxels if none are given.
    """
    frame, texts, details = left.reset_index(drop=True), {}, {}
    for metric in metrics:
        written = [with_interval(row, metric.name, metric.digits).partition(" ") for _, row in scores.iterrows()]
        frame[metric.title] = scores[metric.name].to_numpy()
        texts[metric.title] = [mean for mean, _, _ in written]
        details[metric.title] = [interval for _, _, interval in written]
    return Table(frame, texts, details, num_totals)
