"""A small simulated collection, and the workflow run on it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ssp_model.simulate import SimulationConfig, simulate_collection
from tests.conftest import PROJECT
from tests.httpserver import FileServer

SNAKEMAKE = Path(sys.executable).parent / "snakemake"


def tiny(archives: str, lists: str) -> dict:
    """A configuration that trains for a moment."""
    return {
        "experiment": "tiny",
        "structures": ["fibrillarin", "tom20"],
        "collection": {"archives": archives, "lists": lists},
        "dna": {"quota": {"train": 2, "val": 1, "test": 2}},
        "split": {"fit_fraction": 0.75},
        "model": {"width": 2},
        "train": {"patch": [16, 32, 32], "epochs": 2, "validate_every": 2},
    }


def command(folder: Path, config: dict, *arguments: str) -> list[str | Path]:
    """Snakemake in a folder, with a configuration."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    cores = [] if "--cores" in arguments else ["--cores", "2"]
    command = [SNAKEMAKE, *arguments, *cores, "--snakefile", PROJECT / "Snakefile", "--directory", folder]
    return [*command, "--configfile", folder / "config.yaml"]


def snakemake(folder: Path, config: dict, *arguments: str) -> subprocess.CompletedProcess:
    """What it did; `said` is all that it printed."""
    ran = subprocess.run(command(folder, config, *arguments), capture_output=True, text=True, check=False, cwd=folder)
    ran.said = ran.stdout + ran.stderr
    return ran


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    config = SimulationConfig(structures=("fibrillarin", "tom20"), images=6, shape_zyx=(16, 96, 96))
    simulate_collection(folder, config)
    return folder


@pytest.fixture(scope="session")
def finished(simulated, tmp_path_factory):
    """A finished run, its configuration and its server, which broke off one download."""
    folder = tmp_path_factory.mktemp("run")
    with FileServer(simulated) as server:
        server.cut_after("tom20.tar.gz", 100_000)
        config = tiny(server.url("") + "{structure}.tar.gz", server.url("") + "lists/{structure}.csv")
        ran = snakemake(folder, config)
        assert ran.returncode == 0, ran.said
        yield folder, config, server
