"""Fixtures shared by all tests."""

import argparse
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ssp_model.models.model_file import ModelInfo, make_network, save_model
from tests.helpers import GOLDEN, PROJECT


@pytest.fixture
def golden():
    """Read a file of golden vectors as a dict of arrays."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / name) as arrays:
            return dict(arrays)

    return read


@pytest.fixture
def checkpoint(golden):
    """What a checkpoint of the RepMode authors holds, with random weights, of width 2."""
    vectors = golden("repmode_tiny.npz")
    prefix = "param/"
    return {
        "nn_module": "RepMode",
        "opts": argparse.Namespace(adopted_datasets=["zo1", "dna", "tom20"], lr=1e-4, gpu_ids=[0]),
        "nn_state": {n.removeprefix(prefix): torch.from_numpy(v) for n, v in vectors.items() if n.startswith(prefix)},
        "optimizer_state": {"state": {}, "param_groups": []},
        "count_iter": 79_000,
        "count_epoch": 1000,
    }


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real microscopy data that is not part of the project."""
    folder = os.environ.get("SSP_TEST_DATA")
    if not folder:
        pytest.skip("real microscopy data is not here: SSP_TEST_DATA does not name its folder")
    return Path(folder)


@pytest.fixture
def config_values() -> dict:
    """The values of `config.yaml`, to be changed."""
    return yaml.safe_load((PROJECT / "config.yaml").read_text())


@pytest.fixture
def model(tmp_path):
    """A model that has learnt nothing."""
    info = ModelInfo(
        structures=("tom20", "zo1"),
        method="repmode",
        settings={"width": 2},
        patch=(16, 16, 16),
        voxel_size_um=(0.3, 0.3, 0.3),
        preprocess={"scale": [1, 1, 1]},
        config={},
        training={"seed": 3},
    )
    # whatever ran before: of some random weights, the outputs are so small that no package is made of them
    torch.manual_seed(3)
    save_model(make_network("repmode", 2, info.settings), info, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def aws() -> str:
    """The address of a server on loopback that answers as Amazon's S3 and Batch do; jobs of Batch fail at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=os.environ | {"MOTO_SIMPLE_BATCH_FAIL_AFTER": "0"}, **quiet) as server:
        while not listens(port):
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"the server ended with status {server.wait(0.1)}")
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(scope="module")
def store(aws) -> str:
    """The same, with its address and keys in the environment for Snakemake's storage."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {"ENDPOINT_URL": aws, "ACCESS_KEY": "key", "SECRET_KEY": "secret"}.items():
            environment.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        yield aws
