"""The page on how to add a method, followed word for word: its toy method is trained, scored and used."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from tests.helpers import PROJECT, make_datasets

PAGE = PROJECT / "ssp_model/nn/methods/README.md"
CONFIG = """
train: {patch: [16, 32, 32], epochs: 2, batch_size: 2, validate_every: 1, precision: float32}
tracking: {wandb: disabled}
"""


def test_the_page_on_adding_a_method(tmp_path):
    network, name, settings, union, config = re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    package = tmp_path / "ssp_model"
    shutil.copytree(PROJECT / "ssp_model", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "nn/methods/toy.py").write_text(network)
    insert(package / "nn/methods/__init__.py", "METHODS = {\n", name)
    insert(package / "config/schema.py", "\n\nModelConfig = (", settings, before=True)
    insert(package / "config/schema.py", "    | TGNetConfig\n", union)
    (tmp_path / "toy.yaml").write_text(config + "  width: 1\n" + CONFIG)
    datasets = make_datasets(tmp_path, {"tom20": (0, 1), "zo1": (0, 1)}, shape=(16, 32, 32))

    def ssp(*arguments: str | Path) -> str:
        ran = subprocess.run(
            [sys.executable, "-c", "from ssp_model.cli import app; app()", *arguments],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    configs = ("--config", PROJECT / "config.yaml", "--config", "toy.yaml")
    ssp("train", datasets["train"], datasets["val"], "run", *configs)
    assert "method: toy" in ssp("info", "run/model.safetensors")
    ssp("evaluate", "run/model.safetensors", datasets["test"], "scores", *configs)
    scores = pd.read_csv(tmp_path / "scores/per_structure.csv")
    assert list(scores.structure) == ["tom20", "zo1"]
    assert scores.mse.between(0, 10).all()
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "image.tif", rng.integers(0, 1000, (16, 32, 32), np.uint16), photometric="minisblack")
    ssp("predict", "run/model.safetensors", "image.tif", "--output", "out")
    (predicted,) = (tmp_path / "out").iterdir()
    assert tifffile.imread(predicted).shape == (3, 16, 32, 32)


def insert(path: Path, place: str, text: str, *, before: bool = False) -> None:
    """Insert a text after, or before, a place that is there once."""
    content = path.read_text()
    assert content.count(place) == 1, place
    path.write_text(content.replace(place, f"\n\n{text.strip()}{place}" if before else place + text))
