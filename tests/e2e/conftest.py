"""A small simulated collection, and the workflow run on it."""

import sysconfig
import venv
from pathlib import Path

import pytest

from ssp_model.simulation.simulate import SimulationConfig, simulate_collection
from tests.helpers import copy_project, snakemake, tiny
from tests.httpserver import FileServer


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    config = SimulationConfig(structures=("fibrillarin", "tom20"), images=6, shape_zyx=(16, 96, 96))
    simulate_collection(folder, config)
    return folder


@pytest.fixture(scope="session")
def finished(simulated, tmp_path_factory):
    """A finished run: its folder, its config, and its server, which broke off one download.

    It went from clone to report in a folder with blanks, a quote, braces and an umlaut in its path, its virtual
    environment too. All tests that need a finished run thus tell whether such a folder is a hindrance.
    """
    odd = tmp_path_factory.mktemp("odd") / "my lab's runs/größe {1}"
    project, folder = copy_project(odd / "clone"), odd / "run"
    folder.mkdir()
    venv.create(project / ".venv")
    packages = next((project / ".venv/lib").glob("python*/site-packages"))
    (packages / "installed.pth").write_text(sysconfig.get_path("purelib"))
    with FileServer(simulated) as server:
        server.cut_after("tom20.tar.gz", 100_000)
        config = tiny(server.url("") + "{structure}.tar.gz", server.url("") + "lists/{structure}.csv")
        ran = snakemake(folder, config, project=project)
        assert ran.returncode == 0, ran.said
        yield folder, config, server
