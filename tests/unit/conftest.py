"""A tiny dataset to train on."""

from pathlib import Path

import pytest

from ssp_model.config.read import parse_config
from ssp_model.config.schema import TrainConfig
from ssp_model.models.model_file import ModelInfo, make_network, save_model
from tests.helpers import make_datasets


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
    save_model(make_network("repmode", 2, info.settings), info, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


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
