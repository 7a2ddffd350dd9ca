"""A small simulated collection, and the workflow run on it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ssp_model.simulate import SimulationConfig, simulate_collection
from tests.conftest import PROJECT

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


def snakemake(folder: Path, config: dict, *arguments: str) -> subprocess.CompletedProcess:
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    cores = [] if "--cores" in arguments else ["--cores", "2"]
    command = [SNAKEMAKE, *arguments, *cores, "--snakefile", PROJECT / "Snakefile", "--directory", folder]
    command += ["--configfile", folder / "config.yaml"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    ran.said = ran.stdout + ran.stderr
    return ran


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    config = SimulationConfig(structures=("fibrillarin", "tom20"), images=6, shape_zyx=(16, 96, 96))
    simulate_collection(folder, config)
    return folder
