"""The wheel, installed in an environment of its own: nothing of the project's folder is needed to use it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.helpers import PROJECT

pytestmark = pytest.mark.slow

OWN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
"""An environment in which no variable leads to the project's folder."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: a build leaves files in its folder, and takes those of an earlier one."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    shutil.copytree(PROJECT / "ssp_model", source / "ssp_model", ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    (built,) = folder.iterdir()
    return built


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    ran = subprocess.run(command, env=OWN, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The programs of an environment that has the wheel, and its dependencies from the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip("--python", folder / "bin/python", "install", "--no-index", "--no-deps", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    # these folders are searched last, and their own .pth files, such as that of an editable install, are not read
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "dependencies.pth").write_text("\n".join(dependencies))
    return folder / "bin"


@pytest.fixture
def run(installed, tmp_path):
    """Run a program of the environment, far from the project."""

    def run(program: str, *arguments: str | Path) -> str:
        command = [installed / program, *arguments]
        ran = subprocess.run(command, cwd=tmp_path, env=OWN, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.strip()

    return run


def test_all_data_files_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("ssp_model/")}
    paths = [path for path in (PROJECT / "ssp_model").rglob("*") if path.is_file()]
    # how to add a method is read in the project's folder only
    wanted = {path for path in paths if "__pycache__" not in path.parts and path.suffix != ".md"}
    assert packed == {str(path.relative_to(PROJECT)) for path in wanted}


def test_what_is_imported_is_the_wheel(run, installed):
    place = run("python", "-c", "import ssp_model; print(ssp_model.__file__)")
    assert Path(place).is_relative_to(installed.parent)


def test_images_are_simulated_and_predicted_and_the_model_is_exported_and_described(run, model, tmp_path):
    (tmp_path / "small.yaml").write_text("structures: [tom20]\nimages: 1\nshape_zyx: [16, 48, 48]\n")
    run("ssp", "simulate", "collection", "--config", "small.yaml")
    with tarfile.open(tmp_path / "collection/tom20.tar.gz") as archive:
        archive.extractall(tmp_path / "images", filter="data")
    run("ssp", "predict", model, "images/**/*.czi", "--output", "predictions", "--channel", "Bright_100")
    assert len(list((tmp_path / "predictions").rglob("*.ome.tif"))) == 1
    # this package holds an ONNX file too
    run("ssp", "export", model, "zo1.zip", "--format", "bioimageio", "--structure", "zo1")
    with zipfile.ZipFile(tmp_path / "zo1.zip") as package:
        documentation = package.read("README.md").decode()
        # nobody has named the model
        assert yaml.safe_load(package.read("rdf.yaml"))["name"] == "RepMode seed 3"
    run("ssp", "model-card", model)
    assert documentation.startswith((tmp_path / "README.md").read_text())
