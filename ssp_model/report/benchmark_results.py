"""The results of a benchmark: its experiments, their scores on the same images, their trainings and their costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ssp_model.errors import InputError
from ssp_model.evaluation.paired import UNKNOWN, PairedScores
from ssp_model.evaluation.scores import read_scores
from ssp_model.report.published import PUBLISHED_METHOD, PUBLISHED_METRICS, paper_order
from ssp_model.report.runs import read_runs, training_totals

BASELINE = "Multi-Net"
"""Title of the method that gains are relative to, as published: each structure alone."""

KINDS = ("method", "ablation", "increment")
"""Kinds of experiments, in the order of tables."""

ALL = "all"
"""All structures, in tables."""


@dataclass(frozen=True)
class Entry:
    """An experiment of a benchmark.

    Attributes
    ----------
    name : str
        Name of the experiment.
    kind : str
        `method`; `ablation`, of RepMode; or `increment`, which extends a model by a structure or is extended.
    title : str
        What a person calls it. Of a method, the method's title.
    method : str
        Code name of its method.
    structures : sequence of str, or None
        What it is trained on; None for all.
    extends : str or None
        Name of the experiment whose model it extends.
    published : sequence of float, or None
        Of an ablation: MSE, MAE and R2 over all images in the paper.
    """

    name: str
    kind: str
    title: str
    method: str
    structures: Sequence[str] | None = None
    extends: str | None = None
    published: Sequence[float] | None = None


@dataclass(frozen=True)
class Results:
    """What is known of the experiments of a benchmark.

    Attributes
    ----------
    listed : list of Entry
        All experiments.
    scores : dict
        Scores in the metrics of the paper.
    training : DataFrame
        By experiment: `epochs`, `training_s` and `training_mib`, means over seeds.
    costs : DataFrame
        By experiment: what `evaluation.cost.measure_cost` writes.
    """

    listed: Sequence[Entry]
    scores: dict[str, PairedScores]
    training: pd.DataFrame
    costs: pd.DataFrame

    @property
    def of_any_metric(self) -> PairedScores:
        """Scores, to ask for what is the same in all metrics: structures, images and seeds."""
        return self.scores[PUBLISHED_METRICS[0]]

    @cached_property
    def entries(self) -> list[Entry]:
        """The experiments that have scores, kind by kind; methods in the order of the paper, others in their own."""
        known = [entry for entry in self.listed if entry.name in self.of_any_metric.seeds]
        return sorted(
            known,
            key=lambda entry: (KINDS.index(entry.kind), paper_order(entry.title) if entry.kind == "method" else (0, 0)),
        )

    def of_kind(self, kind: str) -> list[Entry]:
        """Return the experiments of a kind that have scores."""
        return [entry for entry in self.entries if entry.kind == kind]

    @property
    def methods(self) -> list[Entry]:
        """The experiments that are compared in the tables of methods."""
        return self.of_kind("method")

    @property
    def baseline(self) -> Entry | None:
        """Multi-Net; None if it has no scores."""
        return self._titled(BASELINE)

    @property
    def proposed(self) -> Entry | None:
        """RepMode; None if it has no scores."""
        return self._titled(PUBLISHED_METHOD)

    def _titled(self, title: str) -> Entry | None:
        return next((entry for entry in self.of_kind("method") if entry.title == title), None)

    def reference(self, entry: Entry) -> Entry | None:
        """Return what an experiment is compared with: RepMode for its ablations, Multi-Net for others."""
        of = self.proposed if entry.kind == "ablation" else self.baseline
        return None if of == entry else of

    def new_structure(self, entry: Entry) -> str | None:
        """Return the structure by which an experiment extends a model; None if it extends none."""
        base = next((other for other in self.listed if other.name == entry.extends), None)
        if base is None or base.structures is None:
            return None
        return next((name for name in self.of_any_metric.structures if name not in base.structures), None)


def read_results(
    entries: Sequence[Entry],
    per_image: Sequence[str | Path],
    histories: Sequence[str | Path],
    costs: Sequence[str | Path],
) -> Results:
    """Read the results of a benchmark; parameters and errors as of `benchmark.benchmark_page`."""
    names = [entry.name for entry in entries]
    tables = [read_scores(path) for path in per_image]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"experiment": []})
    table = table[table.experiment.isin(names)]
    if table.empty:
        raise InputError(
            f"None of the experiments of the benchmark ({', '.join(names) or 'there are none'}) has scores; run "
            "snakemake benchmark to train and score them."
        )
    measured = [pd.read_csv(path, dtype={"experiment": str}) for path in costs]
    return Results(
        listed=entries,
        scores={metric: PairedScores(table, metric) for metric in PUBLISHED_METRICS},
        training=training_totals(read_runs(histories)).groupby("experiment").mean(),
        costs=pd.concat(measured, ignore_index=True).set_index("experiment") if measured else pd.DataFrame(),
    )


def tidy(results: Results) -> pd.DataFrame:
    """Return a row for each experiment, structure and metric, and for each experiment and metric one of all images.

    `difference` and `gain`, in percent, are against the experiment `compared_with`.
    """
    rows = []
    for metric, scores in results.scores.items():
        methods = [entry.name for entry in results.methods]
        marked = {structure: scores.marks(methods, structure) for structure in (*scores.structures, None)}
        for entry in results.entries:
            reference = results.reference(entry)
            for structure in (*scores.structures, None):
                if not scores.has(entry.name, structure):
                    continue
                mean = scores.mean(entry.name, structure)
                pair = (entry.name, reference.name, structure) if reference else None
                difference = scores.difference(*pair) if pair else UNKNOWN
                gain = scores.gain(*pair) if pair else UNKNOWN
                rows.append(
                    {
                        "experiment": entry.name,
                        "kind": entry.kind,
                        "title": entry.title,
                        "structure": structure or ALL,
                        "metric": metric,
                        "seeds": scores.seeds[entry.name],
                        "images": scores.num_images(structure),
                        "mean": mean.value,
                        "low": mean.low,
                        "high": mean.high,
                        "spread_over_seeds": scores.spread(entry.name, structure),
                        "compared_with": reference.name if reference else "",
                        "difference": difference.value,
                        "difference_low": difference.low,
                        "difference_high": difference.high,
                        "gain": gain.value,
                        "gain_low": gain.low,
                        "gain_high": gain.high,
                        "mark": marked[structure].get(entry.name, ""),
                    }
                )
    return pd.DataFrame(rows)
