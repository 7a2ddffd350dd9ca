"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

PROJECT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden():
    """Read a file of golden vectors as a dict of arrays."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / name) as arrays:
            return dict(arrays)

    return read


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
