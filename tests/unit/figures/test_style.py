"""The style holds only while a figure is drawn."""

import subprocess
import sys

import matplotlib
from matplotlib.figure import Figure

from ssp_model.figures.style import save, style
from tests.helpers import PROJECT

MODULES = [path.stem for path in (PROJECT / "ssp_model/figures").glob("*.py") if path.stem != "__init__"]
UNTOUCHED = f"""
import importlib, matplotlib, sys
before = dict(matplotlib.rcParams.copy())
for name in {MODULES}:
    importlib.import_module("ssp_model.figures." + name)
assert "matplotlib.pyplot" not in sys.modules
assert dict(matplotlib.rcParams.copy()) == before
matplotlib.use("svg")
for name in {MODULES}:
    importlib.reload(sys.modules["ssp_model.figures." + name])
assert matplotlib.get_backend() == "svg"
"""


def test_an_import_changes_no_setting():
    assert len(MODULES) > 3
    subprocess.run([sys.executable, "-c", UNTOUCHED], check=True, cwd=PROJECT)


def test_drawing_leaves_settings_as_they_were(tmp_path):
    before = dict(matplotlib.rcParams.copy())
    with style():
        assert matplotlib.rcParams["svg.fonttype"] == "none"
        figure = Figure(figsize=(2, 1))
    save(figure, tmp_path / "a.png")
    assert dict(matplotlib.rcParams.copy()) == before
    assert figure.dpi == 150


def test_a_figure_is_saved_in_each_format(tmp_path):
    with style():
        figure = Figure(figsize=(2, 1))
        figure.subplots().set_title("a title")
    save(figure, tmp_path / "folder/a.png")
    save(figure, tmp_path / "b.png", suffixes=(".png",))
    # text of an SVG stays text
    assert ">a title</text>" in (tmp_path / "folder/a.svg").read_text()
    assert (tmp_path / "folder/a.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "b.svg").exists()
