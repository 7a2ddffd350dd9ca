"""Experiments and seeds side by side."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ssp_model.evaluation.metrics import METRICS, label
from ssp_model.evaluation.scores import with_interval
from ssp_model.figures.scores import plot_runs
from ssp_model.files import write_table
from ssp_model.log import duration
from ssp_model.report.html import figure, heading, table, text, write_page


def compare_page(
    overall: Sequence[str | Path], histories: Sequence[str | Path], csv: str | Path, page: str | Path
) -> None:
    """Experiments and seeds side by side.

    Parameters
    ----------
    overall : sequence of path
        Scores of runs, `{experiment}/seed-{seed}/overall.csv`.
    histories : sequence of path
        Of those whose training is known, `{experiment}/seed-{seed}/history.csv`: its time and memory.
    csv : path
        CSV file to write: a row a run.
    page : path
        HTML file to write; figures go to a folder beside it, named alike.
    """
    rows = []
    history_of = {Path(path).parts[-3:-1]: path for path in histories}
    for path in map(Path, overall):
        experiment, seed = path.parts[-3], int(path.parts[-2].removeprefix("seed-"))
        scores = pd.read_csv(path).set_index("mean_over").loc["images"]
        row: dict[str, Any] = {"experiment": experiment, "seed": seed, "images": int(scores.images)}
        for metric in METRICS:
            row |= {key: scores[key] for key in (metric, f"{metric}_low", f"{metric}_high")}
        history = history_of.get(path.parts[-3:-1])
        unknown = pd.DataFrame({"seconds": [np.nan], "peak_memory_mb": [np.nan]})
        epochs = pd.read_csv(history) if history else unknown
        row |= {"training_s": epochs.seconds.sum(skipna=False), "training_mib": epochs.peak_memory_mb.max()}
        rows.append(row)
    runs = pd.DataFrame(rows).sort_values(["experiment", "seed"])
    write_table(runs, csv)
    plot_runs(runs, Path(page).with_suffix("") / "runs.png")
    listed = pd.DataFrame({"experiment": runs.experiment, "seed": runs.seed, "images": runs.images})
    for metric in METRICS:
        listed[label(metric)] = [with_interval(row, metric) for _, row in runs.iterrows()]
    listed["training"] = runs.training_s.map(lambda s: "" if pd.isna(s) else duration(s))
    listed["memory, MiB"] = runs.training_mib.map(lambda m: "" if pd.isna(m) else f"{m:,.0f}")
    raw = {label(metric): runs[metric].tolist() for metric in METRICS}
    raw |= {"training": runs.training_s.tolist(), "memory, MiB": runs.training_mib.tolist()}
    write_page(
        page,
        "Experiments and seeds",
        "All runs whose scores are in this folder of results.",
        [
            table(listed, sortable=True, sort_by=raw),
            text(
                "Intervals are of the mean over test images (95%, bootstrap): how it would vary with other images of "
                "the kind. Compare runs only if they were scored on the same images. The time is that of the training "
                "steps."
            ),
            heading("R²"),
            figure(
                Path(page).with_suffix("") / "runs.svg",
                "Each dot is a run, its line the 95% interval over images; the bar is the mean over an experiment's "
                "seeds. A difference between settings that is no larger than the spread between seeds of one setting "
                "is no difference.",
                "R2 of each experiment and seed",
            ),
            heading("Differences"),
            *differences(runs),
        ],
    )


def differences(runs: pd.DataFrame) -> list[Markup]:
    """Whether experiments differ by more than the spread over their seeds."""
    rows = []
    by_experiment = {name: group.r2.to_numpy() for name, group in runs.groupby("experiment")}
    for (one, of_one), (other, of_other) in combinations(by_experiment.items(), 2):
        several = len(of_one) > 1 and len(of_other) > 1
        spread = float(np.sqrt((of_one.var(ddof=1) + of_other.var(ddof=1)) / 2)) if several else np.nan
        apart = of_one.mean() - of_other.mean()
        if not several:
            verdict = "can't be told: run at least two seeds of each"
        else:
            verdict = "beyond the spread" if abs(apart) > 2 * spread else "within the spread"
        rows.append({"experiments": f"{one} − {other}", "R² apart": apart, "spread over seeds": spread, "": verdict})
    if not rows:
        return [
            text("There is one experiment only: run another with a different `experiment` name in the configuration.")
        ]
    explanation = "The spread is the standard deviation over seeds, pooled; beyond means more than twice as far apart."
    return [table(pd.DataFrame(rows)), text(explanation)]
