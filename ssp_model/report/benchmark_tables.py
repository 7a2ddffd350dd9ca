"""The tables on the page of a benchmark."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ssp_model.evaluation.metrics import METRIC, label
from ssp_model.evaluation.paired import UNKNOWN, Estimate
from ssp_model.log import counted, duration
from ssp_model.report.benchmark_results import ALL, BASELINE, Results
from ssp_model.report.html import Table
from ssp_model.report.published import (
    PUBLISHED_INCREMENTS,
    PUBLISHED_METHOD,
    PUBLISHED_METRICS,
    PUBLISHED_NAMES,
    PUBLISHED_TABLE,
    improvement,
    read_published,
)

BETTER, WORSE = "rgb(204 227 240)", "rgb(250 228 204)"
"""Colours of a difference that holds."""


class Columns:
    """Columns of a table, added one by one.

    Parameters
    ----------
    left : dict
        The first columns, by their heads.
    """

    def __init__(self, left: dict[str, Sequence[Any]]) -> None:
        self._frame = pd.DataFrame(left)
        self._texts: dict[str, Sequence[str]] = {}
        self._details: dict[str, Sequence[str]] = {}
        self._tints: dict[str, Sequence[str]] = {}
        self._marks: dict[str, Sequence[str]] = {}

    def add(
        self,
        head: str,
        values: Sequence[float],
        write: Callable[[float], str],
        details: Sequence[str] | None = None,
        *,
        tints: Sequence[str] | None = None,
        marks: Sequence[str] | None = None,
    ) -> None:
        """Add a column of numbers.

        Parameters
        ----------
        head : str
        values : sequence of float
            NaN is left empty.
        write : callable
            Writes a number for a reader.
        details : sequence of str, optional
            A second line for each number.
        tints, marks : sequence of str, optional
            Colour and mark of each cell.
        """
        self._frame[head] = np.asarray(values, float)
        self._texts[head] = ["" if np.isnan(value) else write(value) for value in self._frame[head]]
        for given, of_columns in ((details, self._details), (tints, self._tints), (marks, self._marks)):
            if given is not None:
                of_columns[head] = given

    def add_differences(self, head: str, differences: Sequence[Estimate], metric: str) -> None:
        """Add a column of differences with their intervals, coloured where they hold; those of exactly 0 are empty."""
        shown = [UNKNOWN if difference.value == 0 else difference for difference in differences]
        tints = [colour(difference, metric) for difference in shown]
        self.add(head, [it.value for it in shown], signed, [between(it, signed) for it in shown], tints=tints)

    def add_published(self, metric: str, published: Sequence[float], reference: float = np.nan) -> None:
        """Add a column of published scores, with their differences from another published score, if it is given."""
        differences = [value - reference for value in published]
        details = ["" if np.isnan(difference) or difference == 0 else signed(difference) for difference in differences]
        self.add(f"published {label(metric)}", published, score_text, details)

    def table(self) -> Table:
        """Return the table."""
        return Table(self._frame, self._texts, self._details, tints=self._tints, marks=self._marks)


def score_text(value: float) -> str:
    """Write a score with the decimals of the paper."""
    return f"{value:.4f}"


def signed(value: float) -> str:
    """Write the difference of two scores."""
    return f"{value:+.4f}"


def percent(value: float) -> str:
    """Write a gain."""
    return f"{value:+.2f} %"


def between(estimate: Estimate, write: Callable[[float], str] = score_text) -> str:
    """Write an interval; nothing if it is not known."""
    return "" if np.isnan(estimate.low) else f"{write(estimate.low)} to {write(estimate.high)}"


def colour(difference: Estimate, metric: str) -> str:
    """Return the colour of a difference that holds; none for others."""
    if not difference.holds:
        return ""
    return BETTER if (difference.value > 0) == METRIC[metric].higher_is_better else WORSE


def method_table(results: Results, metric: str) -> Table:
    """List one metric of all methods: each structure, all images, the gain, and the spread over seeds."""
    scores, methods, baseline = results.scores[metric], results.methods, results.baseline
    names = [entry.name for entry in methods]
    columns = Columns({"method": [entry.title for entry in methods]})
    # one structure is all
    for structure in (*(scores.structures if len(scores.structures) > 1 else ()), None):
        means = [scores.mean(name, structure) for name in names]
        marked = scores.marks(names, structure)
        spreads = [scores.spread(name, structure) for name in names]
        columns.add(
            structure or ALL,
            [mean.value for mean in means],
            score_text,
            [f"± {spread:.4f}" if spread == spread else "" for spread in spreads]
            if structure
            else [between(mean) for mean in means],
            marks=[marked.get(name, "") for name in names],
        )
    if baseline:
        gains = [scores.gain(name, baseline.name) if name != baseline.name else None for name in names]
        columns.add(
            f"gain over {BASELINE}",
            [gain.value if gain else np.nan for gain in gains],
            percent,
            [between(gain, "{:+.2f}".format) if gain else "" for gain in gains],
        )
    if max(scores.seeds[name] for name in names) > 1:
        counts = [counted(scores.seeds[name], "seed") for name in names]
        columns.add("spread over seeds", [scores.spread(name) for name in names], score_text, counts)
    return columns.table()


def table_of_paper(metric: str) -> Table:
    """List one metric of the paper's table 1, with its improvement over Multi-Net."""
    published = read_published(PUBLISHED_TABLE)
    rows = published.pivot(index="method", columns="structure", values=metric.upper())
    rows = rows.loc[published.method.unique(), [*PUBLISHED_NAMES.values(), ALL]]
    columns = Columns({"method": list(rows.index)})
    for structure, name in {**PUBLISHED_NAMES, ALL: ALL}.items():
        columns.add(structure, rows[name].tolist(), score_text)
    gains = improvement(rows[ALL], rows[ALL][BASELINE], metric)
    columns.add(f"gain over {BASELINE}", gains.where(rows.index != BASELINE).tolist(), percent)
    return columns.table()


def ablation_table(results: Results) -> Table | None:
    """List the ablations: their scores on all images, and the difference from RepMode here and in the paper."""
    ablations, full = results.of_kind("ablation"), results.proposed
    if not ablations:
        return None
    entries = [*([full] if full else []), *ablations]
    paper = read_published(PUBLISHED_TABLE)
    of_full = (
        paper[(paper.method == PUBLISHED_METHOD) & (paper.structure == ALL)]
        .iloc[0][[metric.upper() for metric in PUBLISHED_METRICS]]
        .tolist()
    )
    columns = Columns({"variant": [entry.title for entry in entries]})
    for number, metric in enumerate(PUBLISHED_METRICS):
        scores = results.scores[metric]
        columns.add(label(metric), [scores.mean(entry.name).value for entry in entries], score_text)
        if full:
            differences = [scores.difference(entry.name, full.name) for entry in entries]
            columns.add_differences(f"{label(metric)} − {PUBLISHED_METHOD}", differences, metric)
        published = [of_full if entry == full else entry.published for entry in entries]
        columns.add_published(metric, [it[number] if it else np.nan for it in published], of_full[number])
    return columns.table()


def increment_table(results: Results) -> Table | None:
    """List the ways to learn one more structure: alone, added to a trained model, and together with the others.

    All scores are of the new structure. Each has its difference from the structure learnt alone.
    """
    rows = []
    extended = [(entry, results.new_structure(entry)) for entry in results.entries]
    for new in sorted({structure for _, structure in extended if structure}):
        if results.baseline:
            rows.append((new, results.baseline, f"{BASELINE}, alone", "alone"))
        rows += [(new, entry, entry.title, "extended") for entry, structure in extended if structure == new]
        if results.proposed:
            rows.append((new, results.proposed, f"{PUBLISHED_METHOD}, all structures together", "joint"))
    if not rows:
        return None
    table = read_published(PUBLISHED_INCREMENTS).set_index(["structure", "method", "way"])
    columns = Columns({"new structure": [new for new, *_ in rows], "learnt by": [title for *_, title, _ in rows]})
    alone = results.baseline
    for metric in PUBLISHED_METRICS:
        scores, key = results.scores[metric], metric.upper()
        columns.add(label(metric), [scores.mean(entry.name, new).value for new, entry, *_ in rows], score_text)
        if alone:
            differences = [scores.difference(entry.name, alone.name, new) for new, entry, *_ in rows]
            columns.add_differences(f"{label(metric)} − alone", differences, metric)
        in_paper = [(PUBLISHED_NAMES.get(new, new), entry.method, way) for new, entry, _, way in rows]
        published = table[key].reindex(pd.MultiIndex.from_tuples(in_paper)).tolist()
        columns.add_published(metric, published)
    return columns.table()


def cost_table(results: Results) -> Table | None:
    """List what each experiment costs; None if nothing is known."""
    entries, measured = results.entries, results.costs
    names = [entry.name for entry in entries]
    costs = measured.reindex(names).reindex(columns=[*COSTS, "device", "precision"])
    training = results.training.reindex(names)
    if costs[list(COSTS)].isna().all(axis=None) and training.isna().all(axis=None):
        return None
    columns = Columns({"experiment": [entry.title for entry in entries], "kind": [entry.kind for entry in entries]})
    for column, (head, write) in (COSTS | TRAINING).items():
        columns.add(head, (costs if column in COSTS else training)[column].tolist(), write)
    return columns.table()


def gmac_text(gmac: float) -> str:
    """Write arithmetic: three digits, or all before the point."""
    return f"{gmac:,.0f}" if gmac >= 100 else f"{gmac:.3g}"


def seconds_text(seconds: float) -> str:
    """Write the time of a patch."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


COSTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "parameters": ("parameters", "{:,.0f}".format),
    "gmac_training": ("GMAC of a patch, as trained", gmac_text),
    "gmac_prediction": ("GMAC of a patch, predicting", gmac_text),
    "predict_s": ("time to predict a patch", seconds_text),
    "predict_mib": ("memory to predict a patch, MiB", "{:,.0f}".format),
}
"""Head of each column of costs, and what writes its values."""

TRAINING: dict[str, tuple[str, Callable[[float], str]]] = {
    "training_s": ("time to train", duration),
    "training_mib": ("memory to train, MiB", "{:,.0f}".format),
}
"""The same of the training."""
