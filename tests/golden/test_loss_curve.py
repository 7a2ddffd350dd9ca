"""A tiny training gives the recorded losses; `python -m tests.golden.test_loss_curve` records them anew."""

import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from ssp_model.config.read import parse_config
from ssp_model.config.schema import PredictConfig
from ssp_model.training.distributed import Placement
from ssp_model.training.recipe import Recipe
from ssp_model.training.train import train_model
from tests.helpers import GOLDEN, PROJECT, UNTRACKED, make_datasets, train_files

CURVE = GOLDEN / "loss_curve.txt"
CHANGES = {
    "model": {"width": 2},
    "train": {"patch": [16, 32, 32], "epochs": 8, "batch_size": 4, "validate_every": 2, "learning_rate": 3e-3}
    | {"precision": "float32", "schedule": "cosine", "warmup_steps": 4, "gradient_clip": 0.05},
}  # fmt: skip
TOLERANCE = {"step 1": 1e-5, "step 2": 1e-4}
"""Where a gradient is all but zero, rounding decides the sign of Adam's step: two threads instead of one move the first
loss by 2e-7, the second by 1e-5, later ones by up to 3e-3."""
LATER = 1e-2


def train_tiny(folder: Path) -> Path:
    """Train through the real entry, one thread; returns the folder of results."""
    rows = {"tom20": tuple(range(6)), "zo1": tuple(range(4))}
    datasets = make_datasets(folder, rows, shape=(20, 40, 36))
    values = yaml.safe_load((PROJECT / "config.yaml").read_text())
    config = parse_config(values | {name: values[name] | changed for name, changed in CHANGES.items()})
    files = train_files(datasets, folder)
    windows = PredictConfig(patch=None, overlap=0.5, flips="")
    threads = torch.get_num_threads()
    recipe = Recipe(model=config.model, train=config.train, predict=windows, experiment="golden", seed=7)
    train_model(files, recipe, tracking=UNTRACKED, placement=Placement())
    torch.set_num_threads(threads)
    return folder


def read_curve(folder: Path) -> str:
    """Every step's loss and each validation MSE, a line each."""
    events = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    lines = [f"step {event['step']} {event['mse']!r}" for event in events if event["event"] == "step"]
    history = pd.read_csv(folder / "history.csv").dropna(subset="val_mse")
    lines += [f"validation {row.epoch} {row.val_mse!r}" for row in history.itertuples()]
    return "\n".join(lines) + "\n"


def test_losses_are_those_recorded(tmp_path):
    found, wanted = (
        dict(line.rsplit(" ", 1) for line in text.splitlines())
        for text in (read_curve(train_tiny(tmp_path)), CURVE.read_text())
    )
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(float(value), rel=TOLERANCE.get(name, LATER)), name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        CURVE.write_text(read_curve(train_tiny(Path(folder))))
