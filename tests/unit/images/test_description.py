"""Pixel sizes: their units, and which are plausible."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssp_model.images.description import LEAST_UM, MOST_UM, pixel_size, unit_um

STACK = (24, 96, 101)


@pytest.mark.parametrize(
    ("unit", "um"),
    [("nm", 1e-3), ("mm", 1e3), ("m", 1e6), ("µm", 1), ("μm", 1), ("\\u00B5m", 1), ("micron", 1), ("inch", 25400)],
)
def test_units_of_length(unit, um):
    assert unit_um(unit) == pytest.approx(um)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "", "s"])
def test_what_is_no_length(unit):
    assert unit_um(unit) is None


@given(st.floats(LEAST_UM * 1000, MOST_UM * 1000))
def test_a_size_in_nm_equals_its_twin_in_um(nm):
    in_nm = pixel_size([nm] * 3, ["nm"] * 3, "test", STACK)
    assert in_nm.um == pytest.approx(pixel_size([nm / 1000] * 3, ["µm"] * 3, "test", STACK).um)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.29, "-0.29 um"),
        (0.0, "0 um"),
        (math.inf, "an infinite size"),
        (math.nan, "no number"),
        (1e-9, "1e-09 um"),
        (264.58, "264.6 um"),
        (1e6, "1,000,000 um"),
        (1e30, "1e+30 um"),
    ],
)
def test_a_size_that_no_microscope_has_is_a_doubt_and_not_used(value, text):
    size = pixel_size([0.29, value, 0.11], ["µm"] * 3, "test", STACK)
    assert size.um == (0.29, None, 0.11)
    assert size.doubts == (f"{text} along Y",)


def test_a_single_plane_needs_no_distance_of_planes():
    assert pixel_size([1e6, 0.1, 0.1], ["µm"] * 3, "test", (1, 96, 101)).doubts == ()


def test_sizes_that_are_too_unlike():
    size = pixel_size([9.0, 0.1, 0.1], ["µm"] * 3, "test", STACK)
    assert size.um == (None, None, None)
    assert size.doubts == ("a size 90 times larger along one axis than along another",)
