"""The widget in a real viewer: the tests are in widget_checks.py."""

import subprocess
import sys

import pytest

from tests.helpers import PROJECT
from tests.unit.napari_plugin.in_viewer import checks_of

MANIFEST = PROJECT / "ssp_model/napari_plugin/napari.yaml"


@pytest.mark.parametrize("check", checks_of("widget_checks.py"))
def test_in_a_viewer(in_viewer, check):
    in_viewer(check)


def test_the_manifest_is_valid():
    pytest.importorskip("npe2", reason="napari is not installed")
    ran = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", MANIFEST], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_only_the_files_with_windows_import_qt():
    code = "import sys, ssp_model.napari_plugin.prediction, ssp_model.cli\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in ran.stdout.split()}
    assert packages & {"napari", "qtpy", "PySide6", "PyQt6", "matplotlib"} == set()
    assert "torch" in packages
