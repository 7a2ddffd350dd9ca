"""A tiny dataset to train on."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from ssp_model.config import PredictConfig, TrackingConfig, TrainConfig, parse_config
from ssp_model.integrate import integrate
from ssp_model.splits import SPLITS

WINDOWS = PredictConfig(patch=None, overlap=0.0, flips="")
UNTRACKED = TrackingConfig(wandb="disabled", project="test")


@pytest.fixture
def train_config(config_values) -> TrainConfig:
    tiny = {"patch": (16, 16, 16), "epochs": 3, "batch_size": 2, "validate_every": 2, "learning_rate": 1e-2}
    return parse_config(config_values).train.model_copy(update={**tiny, "precision": "float32"})


def make_datasets(folder: Path, train_rows: dict[str, tuple[int, ...]]) -> dict[str, Path]:
    """Two structures whose targets are simple functions of the signal."""
    rng = np.random.default_rng(0)
    splits = {task: {split: folder / f"{task}-{split}.csv" for split in SPLITS} for task in ("tom20", "zo1")}
    volumes = {task: folder / f"{task}-volumes.h5" for task in splits}
    for task, path in volumes.items():
        with h5py.File(path, "w") as file:
            for row in range(6):
                group = file.create_group(f"{row:04d}")
                group.attrs.update(path_czi=f"data/{task}/{row}.czi", source_bytes=9, source_sha256=f"{task}{row}")
                group.attrs["voxel_size_um"] = [0.3, 0.3, 0.3]
                signal = rng.normal(size=(16, 20, 18)).astype(np.float32)
                for role, voxels in {"signal": signal, task: signal if task == "tom20" else -signal}.items():
                    dataset = group.create_dataset(role, data=voxels)
                    dataset.attrs.update(channel=0, channel_name=role, mean=0.0, std=1.0)
        for split, rows in {"train": train_rows[task], "val": (3,), "test": (4, 5)}.items():
            paths = [f"data/{task}/{row}.czi" for row in rows]
            pd.DataFrame({"path_czi": paths}).to_csv(splits[task][split], index=False)
    files = {split: folder / f"{split}.h5" for split in SPLITS}
    integrate(splits, volumes, files, {"preprocess": {"scale": [1, 1, 1]}})
    return files


@pytest.fixture
def datasets(tmp_path) -> dict[str, Path]:
    """Four training samples."""
    return make_datasets(tmp_path, {"tom20": (0, 1), "zo1": (0, 1)})


@pytest.fixture
def datasets_of_five(tmp_path) -> dict[str, Path]:
    """Five training samples, three of one structure."""
    return make_datasets(tmp_path, {"tom20": (0, 1, 2), "zo1": (0, 1)})
