"""The figure of scores against costs."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from ssp_model.figures.benchmark import plot_costs, spread_out


def points(**columns):
    return pd.DataFrame({"title": ["a", "b", "c"], "value": [0.5, 0.5, 0.4], "low": 0.3, "high": 0.6, **columns})


def test_each_cost_has_a_panel_with_the_methods_that_have_it():
    figure = plot_costs(points(gmac=[1, 2, 3], hours=[1, np.nan, 100]), "mse", {"gmac": "GMAC", "hours": "hours"})
    gmac, hours = figure.axes
    assert [text.get_text() for text in gmac.texts] == ["a", "b", "c"]
    assert [text.get_text() for text in hours.texts] == ["a", "c"]
    assert (gmac.get_xlabel(), hours.get_xlabel()) == ("GMAC", "hours")
    assert gmac.get_ylabel() == "MSE (lower is better)"
    assert (gmac.get_xscale(), hours.get_xscale()) == ("linear", "log")


def test_labels_do_not_overlap():
    for number in (2, 9, 15):
        many = pd.DataFrame({"title": "a", "value": 0.5, "low": 0.4, "high": 0.6, "gmac": range(1, number + 1)})
        figure = plot_costs(many, "mse", {"gmac": "GMAC"})
        figure.draw_without_rendering()
        # each alone, without the line to its point
        boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
        assert all(lower.y1 <= upper.y0 for lower, upper in pairwise(sorted(boxes, key=lambda box: box.y0)))


def test_an_interval_that_is_not_known_is_not_drawn():
    (axes,) = plot_costs(points(gmac=[1, 2, 3]).assign(low=np.nan, high=np.nan), "mse", {"gmac": "GMAC"}).axes
    (bars,) = axes.containers
    assert [segment[:, 1].tolist() for segment in bars[2][0].get_segments()] == [[0.5] * 2, [0.5] * 2, [0.4] * 2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_labels_move_apart_and_keep_their_order(places):
    moved = spread_out(places, 0.1)
    order = np.argsort(places, kind="stable")
    assert (np.diff(np.array(moved)[order]) >= 0.1 - 1e-9).all()
    assert np.mean(moved) == pytest.approx(np.mean(places), abs=1e-9)


def test_labels_that_are_far_apart_stay():
    assert spread_out([0.9, 0.1, 0.5], 0.1) == pytest.approx([0.9, 0.1, 0.5])
    assert spread_out([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert spread_out([], 0.1) == []
