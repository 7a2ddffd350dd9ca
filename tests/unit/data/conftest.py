"""Volumes of one structure with DNA, and the lists of its splits."""

import h5py
import numpy as np
import pandas as pd
import pytest

from ssp_model.data.integrate import integrate
from ssp_model.data.splits import SPLITS

CONFIG = {"preprocess": {"scale": [1, 1, 1]}}


@pytest.fixture
def parts(tmp_path):
    """Volumes of one structure of four images, three of them with DNA, and the lists of both tasks' splits."""
    rng = np.random.default_rng(0)
    volumes = tmp_path / "tom20.h5"
    with h5py.File(volumes, "w") as file:
        for row in range(4):
            group = file.create_group(f"{row:04d}")
            group.attrs.update(image=f"data/tom20/{row}.czi", source_bytes=9, source_sha256=f"{row}")
            group.attrs.update(pixel_size_um=[0.45, 0.1, 0.1], voxel_size_um=[0.3, 0.2, 0.2])
            for role in ("signal", "tom20", "dna")[: 3 if row < 3 else 2]:
                dataset = group.create_dataset(role, data=rng.normal(size=(20, 30, 40)).astype(np.float32))
                dataset.attrs.update(channel=1, channel_name=role, mean=5.0, std=2.0)
    splits = {}
    for task, numbers in {"tom20": ([0, 3], [1], [2]), "dna": ([0], [1], [2])}.items():
        splits[task] = {}
        for split, images in zip(SPLITS, numbers, strict=True):
            splits[task][split] = tmp_path / f"{task}-{split}.csv"
            paths = [f"data/tom20/{image}.czi" for image in images]
            pd.DataFrame({"image": paths, "signal": 0, "target": 1}).to_csv(splits[task][split], index=False)
    datasets = {split: tmp_path / f"{split}.h5" for split in SPLITS}
    return splits, {"tom20": volumes}, datasets


@pytest.fixture
def train_set(parts):
    splits, volumes, datasets = parts
    integrate(splits, volumes, datasets, CONFIG)
    return datasets["train"]
