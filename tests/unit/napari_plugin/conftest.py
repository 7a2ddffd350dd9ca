"""Tests in a real viewer of napari, in one other process: Qt stays out of this one."""

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.helpers import PROJECT
from tests.unit.napari_plugin.in_viewer import choose_model

HERE = PROJECT / "tests/unit/napari_plugin"
CHECKS = [HERE / "widget_checks.py", HERE / "running_checks.py"]
SCREEN = ["xvfb-run", "--auto-servernum", "--server-args", "-screen 0 1400x900x24"]


@pytest.fixture(scope="session")
def in_viewer(tmp_path_factory):
    """Run all tests of `CHECKS` once, and assert that the one asked for passed."""
    if not importlib.util.find_spec("napari"):
        pytest.skip("napari is not installed: pip install -e '.[napari]'")
    if not shutil.which(SCREEN[0]):
        pytest.skip("there is no screen to test napari on: xvfb-run is not installed")
    folder = tmp_path_factory.mktemp("napari")
    # napari keeps its settings there, and knows none of the user's
    own = {"NAPARI_CONFIG": str(folder / "settings.yaml"), "XDG_CACHE_HOME": str(folder), "QT_QPA_PLATFORM": "xcb"}
    # pytest would compile the packages that bring plugins for it anew
    own |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    report = folder / "report.xml"
    options = ["-p", "no:cacheprovider", "--disable-warnings", f"--junitxml={report}"]
    command = [*SCREEN, sys.executable, "-m", "pytest", *options, *CHECKS]
    ran = subprocess.run(
        command, cwd=PROJECT, env=os.environ | own, capture_output=True, text=True, check=False, timeout=600
    )
    said = ran.stdout + ran.stderr
    if "Could not load the Qt platform plugin" in said:
        pytest.skip("Qt finds no library for a window here; .ci/run names them")
    assert report.exists(), said
    # by function, of all its parameters; a test that passed has no child
    cases = [(case.get("name").partition("[")[0], len(case)) for case in ElementTree.parse(report).iter("testcase")]

    def passed(check: str) -> None:
        problems = [problem for name, problem in cases if name == check]
        assert problems, said
        assert not any(problems), said

    return passed


@pytest.fixture(scope="session")
def viewer():
    import napari

    viewer = napari.Viewer()
    # napari often collects garbage, and all that was imported is none
    gc.freeze()
    yield viewer
    viewer.close()


@pytest.fixture(scope="session")
def opened(viewer):
    """The widget of the plugin, opened as the menu of napari does."""
    _, widget = viewer.window.add_plugin_dock_widget("ssp-model", "Predict structures")
    return widget


@pytest.fixture
def widget(opened, viewer):
    """The same, with nothing in the viewer and nothing chosen."""
    from napari.utils.notifications import notification_manager

    viewer.layers.clear()
    choose_model(opened, "")
    opened.overlap.setValue(0.5)
    notification_manager.records.clear()
    return opened
