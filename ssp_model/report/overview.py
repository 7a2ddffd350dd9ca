"""The overview: what was run, on what, how long it took."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ssp_model.evaluation.metrics import METRICS, label
from ssp_model.evaluation.scores import with_interval
from ssp_model.log import duration
from ssp_model.report.html import STANDARDISED, heading, size_text, table, text, write_page


def overview_page(
    config: Mapping[str, Any],
    overall: Mapping[str, str | Path],
    left_out: Sequence[str | Path],
    benchmarks: str | Path,
    page: str | Path,
) -> None:
    """What was run, on what, how long it took, and what was left out.

    Parameters
    ----------
    config : mapping
        The checked configuration.
    overall : mapping
        By seed, the overall scores as `scores.summarise` writes them.
    left_out : sequence of path
        The structures' lists of images that can't be used; empty if no image was converted.
    benchmarks : path
        Folder of the jobs' benchmark files.
    page : path
        HTML file to write.
    """
    structures = sorted([*config["structures"], *([config["dna"]["name"]] if config["dna"] else [])])
    train = config["train"]
    evaluated = config["evaluate"]
    own_model = evaluated["model"] is None
    facts = {
        "experiment": config["experiment"],
        "structures": f"{len(structures)}: {', '.join(structures)}",
        "images from": evaluated["test_set"] or config["collection"]["archives"],
        "model": evaluated["model"] or f"RepMode of width {config['model']['width']}",
        "training": f"{train['epochs']} epochs, patch {size_text(train['patch'])}, batches of {train['batch_size']}, "
        f"learning rate {train['learning_rate']:g} ({train['schedule']})"
        if own_model
        else "none: the model comes from elsewhere",
        "prediction": f"windows overlapping by {config['predict']['overlap']:.0%}",
        "seeds": ", ".join(map(str, config["seeds"])),
    }
    scores = pd.concat([pd.read_csv(path).assign(seed=int(seed)) for seed, path in overall.items()])
    of_images = scores[scores.mean_over == "images"]
    shown = pd.DataFrame({"seed": of_images.seed, "test images": of_images.images})
    for metric in METRICS:
        shown[label(metric)] = [with_interval(row, metric) for _, row in of_images.iterrows()]
    parts = [
        table(pd.DataFrame({"what": facts.keys(), "this run": facts.values()})),
        heading("Result"),
        table(shown),
        text(
            "Means over the test images"
            + (
                ", which took no part in training or in choosing the model"
                if own_model and not evaluated["test_set"]
                else ""
            )
            + ", with 95% intervals (bootstrap over images). "
            + STANDARDISED
        ),
    ]
    if len(shown) > 1:
        spread = ", ".join(
            f"{label(metric)} {of_images[metric].mean():.4f} ± {of_images[metric].std():.4f}" for metric in METRICS
        )
        parts.append(text(f"Over {len(shown)} seeds, mean ± standard deviation: {spread}."))
    if left_out:
        parts += [heading("Images left out"), *left_out_table(left_out)]
    parts += [heading("How long it took"), *times(benchmarks, config["experiment"])]
    write_page(page, f"Overview of {config['experiment']}", "What was run, on what, and what came of it.", parts)


def times(benchmarks: str | Path, experiment: str) -> list[Markup]:
    """A table of the stages' time and memory, from Snakemake's benchmark files; other experiments' left out."""
    rows = []
    for path in sorted(Path(benchmarks).rglob("*.tsv")):
        measured = pd.read_csv(path, sep="\t").iloc[-1]
        stage, *of = path.relative_to(benchmarks).parts
        if len(of) > 1 and of[0] != experiment:
            continue
        stage = stage.removesuffix(".tsv")
        rows.append({"stage": stage, "seconds": measured["s"], "memory": pd.to_numeric(measured.max_rss, "coerce")})
    if not rows:
        return [text("Not measured.")]
    stages = (
        pd.DataFrame(rows)
        .groupby("stage", as_index=False)
        .agg(jobs=("seconds", "size"), seconds=("seconds", "sum"), memory=("memory", "max"))
    )
    stages = stages.sort_values("seconds", ascending=False)
    named = {"seconds": "time, all jobs", "memory": "most memory of a job, MiB"}
    formats = {named["seconds"]: lambda s: duration(float(s)), named["memory"]: lambda m: f"{m:,.0f}"}
    caption = (
        "Each job's own time, added up: jobs that ran beside each other took less by the clock. Of a job that was "
        "stopped and went on, the last part only."
    )
    return [table(stages.rename(columns=named), formats, sortable=True), text(caption)]


def left_out_table(left_out: Sequence[str | Path]) -> list[Markup]:
    """The images that can't be used, with the reasons."""
    unusable = pd.concat([pd.read_csv(path) for path in left_out])
    if unusable.empty:
        return [text("None: every listed image could be used.")]
    names = {"task": "structure", "path_czi": "image", "reason": "reason"}
    return [table(unusable[list(names)].rename(columns=names), sortable=True)]
