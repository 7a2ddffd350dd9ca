"""Predictions that run in a real viewer: the tests are in running_checks.py."""

import pytest

from tests.unit.napari_plugin.in_viewer import checks_of


@pytest.mark.parametrize("check", checks_of("running_checks.py"))
def test_in_a_viewer(in_viewer, check):
    in_viewer(check)
