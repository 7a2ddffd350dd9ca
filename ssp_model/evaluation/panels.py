"""All panels: a function for each, which measures its metrics in the prediction of an image.

To add one, write a module with such a function, and add it here; add its metrics to `metrics.PANELS`, and its name to
`evaluate.panels` in the config.
"""

from collections.abc import Callable, Iterator, Mapping

import pandas as pd

from ssp_model.config.schema import ScoringConfig
from ssp_model.evaluation.noise import measure_noise
from ssp_model.evaluation.objects import measure_objects
from ssp_model.evaluation.panel import Curve, Measured, Pair
from ssp_model.evaluation.resolution import measure_resolution

MEASURES: dict[str, Callable[[Pair, ScoringConfig], Measured]] = {
    "noise": measure_noise,
    "resolution": measure_resolution,
    "objects": measure_objects,
}
"""What measures each panel."""

CURVE_COLUMNS = ("image", "curve", "x", "y")
"""Columns of a table of curves."""


def measure(pair: Pair, scoring: ScoringConfig) -> Measured:
    """Measure the panels that are asked for."""
    measured = [function(pair, scoring) for name, function in MEASURES.items() if name in scoring.panels]
    return Measured(
        {metric: number for one in measured for metric, number in one.numbers.items()},
        {name: curve for one in measured for name, curve in one.curves.items()},
    )


def curve_rows(image: str, curves: Mapping[str, Curve]) -> Iterator[pd.DataFrame]:
    """Yield the curves of an image as rows of a table."""
    for name, (x, y) in curves.items():
        yield pd.DataFrame({"image": image, "curve": name, "x": x, "y": y})
