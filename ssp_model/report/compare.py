"""The page that compares experiments and seeds."""

import logging
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from ssp_model.evaluation.metrics import METRICS
from ssp_model.figures.scores import plot_runs
from ssp_model.figures.style import save
from ssp_model.files import write_table
from ssp_model.log import duration
from ssp_model.report.html import Table, write_page
from ssp_model.report.runs import names_its_run, read_runs, score_table, training_totals

logger = logging.getLogger(__name__)


def compare_page(
    overall: Sequence[str | Path], histories: Sequence[str | Path], csv: str | Path, page: str | Path
) -> None:
    """Write the page that compares experiments and seeds.

    Tables of version 0.1.0 don't say their run. They are left out, and the page and the log name them.

    Parameters
    ----------
    overall : sequence of path
        Overall scores of each run, as `evaluation.scores.summarise` writes them.
    histories : sequence of path
        Histories of the runs whose training is known.
    csv : path
        CSV file to write, one row a run.
    page : path
        HTML file to write. Its figure goes to a folder beside it, with the same name.

    Raises
    ------
    InputError
        No table of scores says its run.
    """
    figure = Path(page).with_suffix("") / "runs.png"
    left_out = [path for path in (*overall, *histories) if not names_its_run(path)]
    for path in left_out:
        logger.warning("%s is left out: an older version has written it, without the experiment and the seed", path)
    scores = [path for path in overall if path not in left_out]
    # without any, the error says what to do
    runs = list_runs(read_runs(scores or overall), read_runs([path for path in histories if path not in left_out]))
    write_table(runs, csv)
    save(plot_runs(runs), figure)
    write_page(
        page,
        "compare.html.j2",
        runs=runs_table(runs),
        r2=figure.with_suffix(".svg"),
        differences=differences(runs),
        left_out=left_out,
    )


def list_runs(scores: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """Join scores and training of each run by experiment and seed.

    Parameters
    ----------
    scores : DataFrame
        Overall scores of all runs.
    histories : DataFrame
        One row an epoch, of all runs whose training is known.

    Returns
    -------
    DataFrame
        One row a run: `experiment`, `seed`, `images`, scores with intervals, and `training_s` and `training_mib`, which
        are NaN if the training is not known.
    """
    values = [key for metric in METRICS for key in (metric, f"{metric}_low", f"{metric}_high")]
    # a run that was scored before a metric was added lacks its columns, and is not scored again for this page
    runs = scores[scores.mean_over == "images"].reindex(columns=["experiment", "seed", "images", *values])
    training = training_totals(histories)[["training_s", "training_mib"]]
    return runs.join(training, on=["experiment", "seed"]).sort_values(["experiment", "seed"], ignore_index=True)


def runs_table(runs: pd.DataFrame) -> Table:
    """List the runs with their scores, time and memory."""
    scores = score_table(runs[["experiment", "seed", "images"]], runs)
    heads = {"training_s": "training", "training_mib": "memory, MiB"}
    texts = {
        heads["training_s"]: ["" if pd.isna(s) else duration(s) for s in runs.training_s],
        heads["training_mib"]: ["" if pd.isna(mib) else f"{mib:,.0f}" for mib in runs.training_mib],
    }
    frame = scores.frame.join(runs[list(heads)].rename(columns=heads))
    return Table(frame, {**scores.texts, **texts}, scores.details)


def differences(runs: pd.DataFrame) -> Table | None:
    """Compare the R2 of each two experiments with the spread over their seeds; None if there is only one."""
    by_experiment = {name: group.r2.to_numpy() for name, group in runs.groupby("experiment")}
    rows = []
    for (one, r2_of_one), (other, r2_of_other) in combinations(by_experiment.items(), 2):
        difference = r2_of_one.mean() - r2_of_other.mean()
        spread = np.nan
        verdict = "not known: run each with at least two seeds"
        if len(r2_of_one) > 1 and len(r2_of_other) > 1:
            spread = float(np.sqrt((r2_of_one.var(ddof=1) + r2_of_other.var(ddof=1)) / 2))
            verdict = "beyond the spread" if abs(difference) > 2 * spread else "within the spread"
        rows.append(
            {
                "experiments": f"{one} − {other}",
                "difference of R²": difference,
                "spread over seeds": spread,
                "the difference is": verdict,
            }
        )
    return Table(pd.DataFrame(rows)) if rows else None
