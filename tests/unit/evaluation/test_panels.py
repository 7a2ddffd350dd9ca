"""The table of panels."""

import numpy as np
import pytest

from ssp_model.config.schema import PANEL_NAMES, ScoringConfig
from ssp_model.evaluation.metrics import ALL_METRICS, METRICS, PANELS
from ssp_model.evaluation.panel import Pair
from ssp_model.evaluation.panels import MEASURES, curve_rows, measure

VOLUME = np.random.default_rng(0).normal(size=(8, 24, 24)).astype(np.float32)
PAIR = Pair(VOLUME, VOLUME, (0.3, 0.3, 0.3), "dna")


def test_the_config_knows_all_panels():
    assert tuple(PANELS) == tuple(MEASURES) == PANEL_NAMES


def test_names_of_metrics_differ():
    assert len(ALL_METRICS) == len(METRICS) + sum(len(panel) for panel in PANELS.values())


@pytest.mark.parametrize("name", PANEL_NAMES)
def test_a_panel_gives_its_metrics(name):
    measured = measure(PAIR, ScoringConfig(panels=(name,), objects={}))
    assert list(measured.numbers) == [metric.name for metric in PANELS[name]]
    rows = list(curve_rows("a.czi", measured.curves))
    assert [table.curve.iloc[0] for table in rows] == list(measured.curves)


def test_nothing_is_measured_without_a_panel():
    measured = measure(PAIR, ScoringConfig(panels=(), objects={}))
    assert (measured.numbers, measured.curves) == ({}, {})
