"""Figures that say how far predictions can be trusted."""

import numpy as np
import pandas as pd
import pytest

from ssp_model.figures.trust import LOWEST_R2, plot_ceilings, plot_reliability, plot_shell_correlation


@pytest.mark.parametrize("number", [1, 5])
def test_each_structure_has_its_curves(number):
    points = pd.concat(
        pd.DataFrame({"image": image, "curve": curve, "x": np.linspace(0.1, 1.7, 9), "y": np.linspace(1, 0, 9)})
        for image in ("a", "b")
        for curve in ("fsc_xy", "half_bit_xy", "fsc_z", "half_bit_z")
    )
    figure = plot_shell_correlation({f"structure {i}": points for i in range(number)})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [f"structure {i}" for i in range(number)]
    # two images, their mean and the threshold in each direction, and zero
    assert len(shown[0].lines) == 2 * 4 + 1
    # an axis of frequencies that is labelled with sizes
    assert [text.get_text() for text in shown[-1].get_xticklabels()] == ["8", "4", "2", "1", "0.7"]


def test_each_image_has_its_ceiling():
    rows = [("zo1", 0.1, 0.9), ("zo1", -7, 0.8), ("dna", 0.1, 0.2), ("few planes", 0.3, np.nan)]
    figure = plot_ceilings(pd.DataFrame(rows, columns=["structure", "r2", "r2_ceiling"]))
    (axes,) = figure.axes
    # what is not known is below, and the structure with the highest ceiling above
    assert [text.get_text() for text in axes.get_yticklabels()] == ["few planes", "dna", "zo1"]
    dots = [line.get_xdata().tolist() for line in axes.lines if len(line.get_xdata())]
    assert dots == [[0.3], [0.1], [0.1, LOWEST_R2]]
    assert axes.get_xlim()[0] < LOWEST_R2


@pytest.mark.parametrize("number", [1, 5])
def test_expected_against_real_error_of_each_structure(number):
    table = pd.DataFrame({"spread": [0.1, 0.2], "expected": [0.4, 0.9], "error": [0.5, 1.0]})
    figure = plot_reliability({f"structure {i}": table for i in range(number)})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [f"structure {i}" for i in range(number)]
    equal, before, after = (line.get_xydata().tolist() for line in shown[-1].lines)
    assert all(x == y for x, y in equal)
    assert (before, after) == ([[0.1, 0.5], [0.2, 1.0]], [[0.4, 0.5], [0.9, 1.0]])
