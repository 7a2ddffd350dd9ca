"""A tiny dataset to train on."""

from pathlib import Path

import pytest

from ssp_model.config.read import parse_config
from ssp_model.config.schema import TrainConfig
from tests.helpers import make_datasets


@pytest.fixture
def train_config(config_values) -> TrainConfig:
    tiny = {"patch": (16, 16, 16), "epochs": 3, "batch_size": 2, "validate_every": 2, "learning_rate": 1e-2}
    return parse_config(config_values).train.model_copy(update={**tiny, "precision": "float32"})


@pytest.fixture
def datasets(tmp_path) -> dict[str, Path]:
    """Four training samples."""
    return make_datasets(tmp_path, {"tom20": (0, 1), "zo1": (0, 1)})


@pytest.fixture
def datasets_of_five(tmp_path) -> dict[str, Path]:
    """Five training samples, three of one structure."""
    return make_datasets(tmp_path, {"tom20": (0, 1, 2), "zo1": (0, 1)})
