"""The overview: what was run, on what, how long it took."""

from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import pandas as pd

from ssp_model.evaluation.metrics import METRICS, label
from ssp_model.log import duration
from ssp_model.report.html import Table, write_page
from ssp_model.report.runs import read_runs, score_table

STAGES = {
    "preflight_samples": "check the own images",
    "check_preflight": "check the own images",
    "tabulate_samples": "list the samples",
    "download_list": "download the image lists",
    "download_archive": "download the images",
    "download_model": "download the model",
    "convert_images": "convert the images",
    "check_images": "check for images that can't be used",
    "split_samples": "split into training, validation and test",
    "split_structure": "split into training, validation and test",
    "split_dna": "split into training, validation and test",
    "integrate_datasets": "write the datasets",
    "train_model": "train the network",
    "train_structure": "train the networks of single structures",
    "join_models": "train the networks of single structures",
    "evaluate_structure": "predict and score the test images",
    "calibrate_uncertainty": "measure the uncertainty",
    "measure_uncertainty": "measure the uncertainty",
    "summarise_scores": "summarise the scores",
    "measure_cost": "measure what the models cost",
    "predict_composite": "predict all structures in one image",
    "predict_images": "predict images",
    "list_predictions": "predict images",
    "overview_page": "make the report",
    "data_page": "make the report",
    "training_page": "make the report",
    "scores_page": "make the report",
    "trust_page": "make the report",
    "structure_page": "make the report",
    "composite_page": "make the report",
    "model_card_page": "make the report",
    "compare_page": "make the report",
    "benchmark_page": "make the report",
}
"""The stage of each rule, in words."""


def overview_page(
    config: Mapping[str, Any],
    overall: Sequence[str | Path],
    left_out: Sequence[str | Path],
    benchmarks: Mapping[str, str],
    page: str | Path,
) -> None:
    """Write the overview: what was run, on what, how long it took, and which images were left out.

    Parameters
    ----------
    config : mapping
        The checked configuration.
    overall : sequence of path
        Overall scores of each run, as `evaluation.scores.summarise` writes them.
    left_out : sequence of path
        Each structure's list of images that can't be used; empty if the workflow converted no image.
    benchmarks : mapping
        For each rule a pattern of its benchmark files, such as `results/benchmarks/convert_images/*.tsv`, in the order
        of the pipeline.
    page : path
        HTML file to write.
    """
    runs = read_runs(overall)
    runs = runs[runs.mean_over == "images"]
    write_page(
        page,
        "overview.html.j2",
        config=config,
        structures=sorted([*config["structures"], *([config["dna"]["name"]] if config["dna"] else [])]),
        scores=score_table(pd.DataFrame({"seed": runs.seed, "test images": runs.images}), runs),
        spread={label(metric): (runs[metric].mean(), runs[metric].std()) for metric in METRICS},
        num_runs=len(runs),
        images_were_converted=bool(left_out),
        left_out=left_out_table(left_out),
        times=times(benchmarks),
    )


def times(benchmarks: Mapping[str, str]) -> Table | None:
    """Sum up time and memory of each stage; None if nothing was measured.

    Parameters
    ----------
    benchmarks : mapping
        As for `overview_page`.
    """
    measured = []
    for rule, pattern in benchmarks.items():
        for path in sorted(glob(pattern)):  # noqa: PTH207 an absolute pattern is no pattern for Path.glob
            job = pd.read_csv(path, sep="\t").iloc[-1]
            stage = STAGES.get(rule, rule.replace("_", " "))
            measured.append(
                {"stage": stage, "seconds": job["s"], "memory": pd.to_numeric(job.max_rss, errors="coerce")}
            )
    if not measured:
        return None
    by_stage = pd.DataFrame(measured).groupby("stage", as_index=False, sort=False)
    stages = by_stage.agg(jobs=("seconds", "size"), seconds=("seconds", "sum"), memory=("memory", "max"))
    heads = {"seconds": "time of all jobs", "memory": "peak memory of a job, MiB"}
    texts = {
        heads["seconds"]: [duration(seconds) for seconds in stages.seconds],
        heads["memory"]: ["" if pd.isna(mib) else f"{mib:,.0f}" for mib in stages.memory],
    }
    return Table(stages.rename(columns=heads), texts)


def left_out_table(left_out: Sequence[str | Path]) -> Table | None:
    """Gather the images that can't be used, with the reasons; None if there are none."""
    tables = [pd.read_csv(path) for path in left_out]
    unusable = pd.concat(tables) if tables else pd.DataFrame()
    if unusable.empty:
        return None
    heads = {"task": "structure", "image": "image", "reason": "reason"}
    return Table(unusable[list(heads)].rename(columns=heads))
