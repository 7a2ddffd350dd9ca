"""The page of a benchmark: methods, ablations and increments, with scores, costs, and the scores of the paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ssp_model.evaluation.metrics import METRIC
from ssp_model.figures.benchmark import plot_costs
from ssp_model.figures.style import save
from ssp_model.files import write_table
from ssp_model.log import counted
from ssp_model.report.benchmark_results import BASELINE, Entry, Results, read_results, tidy
from ssp_model.report.benchmark_tables import ablation_table, cost_table, increment_table, method_table, table_of_paper
from ssp_model.report.html import write_page
from ssp_model.report.published import PUBLISHED_ARCHIVES, PUBLISHED_METHOD, PUBLISHED_METRICS, PUBLISHED_NAMES

HOURS_FROM_S = 3 * 3600
"""Training time from which the figure counts hours, not minutes."""


def benchmark_page(
    entries: Sequence[Entry],
    per_image: Sequence[str | Path],
    histories: Sequence[str | Path],
    costs: Sequence[str | Path],
    *,
    images_from: str,
    csv: str | Path,
    page: str | Path,
) -> None:
    """Write the page of a benchmark. Experiments without scores are left out, and so are sections without a row.

    Parameters
    ----------
    entries : sequence of Entry
        All experiments of the benchmark.
    per_image : sequence of path
        Scores of images of each experiment and seed, as `evaluation.scores.summarise` writes them.
    histories : sequence of path
        Histories of the trainings that are known.
    costs : sequence of path
        What `evaluation.cost.measure_cost` has written.
    images_from : str
        Where the images come from: the address of the archives, the table of samples, or the file of a dataset.
    csv : path
        CSV file to write: scores, differences and gains, with intervals, of each experiment, structure and metric.
    page : path
        HTML file to write. Its figure goes to a folder beside it, with the same name.

    Raises
    ------
    InputError
        No experiment has scores, or they are not of the same images.
    """
    results = read_results(entries, per_image, histories, costs)
    write_table(tidy(results), csv)
    figure = Path(page).with_suffix("") / "costs.png"
    points, axes = cost_points(results)
    # the folder of figures is an output of the job
    figure.parent.mkdir(parents=True, exist_ok=True)
    if axes:
        save(plot_costs(points, "mse", axes), figure)
    write_page(
        page,
        "benchmark.html.j2",
        summary=summary(results),
        methods={METRIC[metric].title_with_direction: method_table(results, metric) for metric in PUBLISHED_METRICS}
        if results.methods
        else {},
        is_published_data=images_from.startswith(PUBLISHED_ARCHIVES)
        and set(results.of_any_metric.structures) == PUBLISHED_NAMES.keys(),
        images_from=images_from,
        published={METRIC[metric].title_with_direction: table_of_paper(metric) for metric in PUBLISHED_METRICS},
        ablations=ablation_table(results),
        increments=increment_table(results),
        costs=cost_table(results),
        measured_on=measured_on(results),
        figure_of_costs=figure.with_suffix(".svg") if axes else None,
        baseline=BASELINE,
        proposed=PUBLISHED_METHOD,
    )


def summary(results: Results) -> dict[str, Any]:
    """Return what the page says first: what was compared, and which method has the lowest MSE."""
    scores = results.scores["mse"]
    seeds = [scores.seeds[entry.name] for entry in results.entries]
    epochs = results.training.epochs.dropna() if len(results.training) else pd.Series(dtype=float)
    ranked = sorted(
        (entry for entry in results.methods if scores.has(entry.name)), key=lambda entry: scores.mean(entry.name).value
    )
    first, second = (*ranked, None, None)[:2]
    return {
        "methods": counted(len(results.of_kind("method")), "method"),
        "experiments": counted(len(results.entries), "experiment"),
        "structures": counted(len(scores.structures), "structure"),
        "images": counted(scores.num_images(), "test image"),
        "seeds": from_to(seeds, "seed"),
        "epochs": from_to(epochs.astype(int), "epoch"),
        "one_seed": [entry.title for entry in results.entries if scores.seeds[entry.name] == 1],
        "all_have_one_seed": max(seeds) == 1,
        "few_seeds": 1 < max(seeds) < 5,
        "first": first,
        "first_mse": first and scores.mean(first.name),
        "second": second,
        "second_mse": second and scores.mean(second.name),
        "difference": first and second and scores.difference(second.name, first.name),
    }


def from_to(numbers: Sequence[int] | pd.Series, noun: str) -> str:
    """Write how many there are of something: `3 seeds`, `1 to 3 seeds`; nothing if that is not known."""
    if not len(numbers):
        return ""
    low, high = min(numbers), max(numbers)
    return counted(low, noun) if low == high else f"{low:,} to {counted(high, noun)}"


def cost_points(results: Results) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the points of the figure, a row a method, and the label of each cost that is known."""
    scores = results.scores["mse"]
    methods = [entry for entry in results.methods if scores.has(entry.name)]
    names = [entry.name for entry in methods]
    points = pd.DataFrame([scores.mean(name)._asdict() for name in names], index=names)
    points["title"] = [entry.title for entry in methods]
    points["gmac"] = results.costs.reindex(names).reindex(columns=["gmac_prediction"]).gmac_prediction
    seconds = results.training.training_s.reindex(names)
    unit, size = ("hours", 3600) if seconds.max() >= HOURS_FROM_S else ("minutes", 60)
    points["training"] = seconds / size
    axes = {"gmac": "GMAC to predict a patch", "training": f"{unit} to train, all structures"}
    return points, {cost: name for cost, name in axes.items() if points[cost].notna().any()}


def measured_on(results: Results) -> list[str]:
    """Return where costs were measured, and in which arithmetic."""
    known = results.costs.reindex(columns=["device", "precision"]).dropna().drop_duplicates()
    return [f"{device} in {precision}" for device, precision in known.itertuples(index=False)]
