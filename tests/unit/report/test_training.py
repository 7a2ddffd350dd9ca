"""The page of a training."""

import pandas as pd
import pytest

from ssp_model.models.model_file import read_info
from ssp_model.report import training
from ssp_model.report.training import draw_gates, training_page
from tests.helpers import GOLDEN

MODEL = GOLDEN / "models/0.1.0/model.safetensors"


@pytest.fixture
def history(tmp_path):
    structures = read_info(MODEL).structures
    losses = {f"{split}_mse_{name}": [1.0, 0.5] for split in ("train", "val") for name in structures}
    epochs = {"epoch": [1, 2], "train_mse": [1.0, 0.5], "val_mse": [None, 0.4], "learning_rate": 1e-3, **losses}
    speed = {"seconds": [100, 50], "crops_per_s": [1.0, 2.0], "peak_memory_mb": [1024, 2048]}
    pd.DataFrame({"experiment": "tiny", "seed": 5, **epochs, **speed}).to_csv(tmp_path / "history.csv", index=False)
    return tmp_path / "history.csv"


def test_a_training_is_shown(tmp_path, history):
    training_page(MODEL, history, tmp_path / "training.html")
    html = (tmp_path / "training.html").read_text()
    assert "Training of tiny, seed 5" in html
    assert "width 1" in html
    assert "2 min 30 s" in html
    assert "2.0 crops per second" in html
    assert "2.0 GiB" in html
    assert "Experts" in html
    assert {path.name for path in (tmp_path / "training").glob("*.png")} == {"loss.png", "speed.png", "gates.png"}


def test_a_network_without_experts_has_no_such_section(tmp_path, history, monkeypatch):
    assert draw_gates({}, ["tom20"], tmp_path / "gates.png") is None
    assert not (tmp_path / "gates.png").exists()
    monkeypatch.setattr(training, "draw_gates", lambda *_: None)
    training_page(MODEL, history, tmp_path / "training.html")
    html = (tmp_path / "training.html").read_text()
    assert "xpert" not in html
    assert "Speed and memory" in html


def test_the_figure_has_the_names_that_the_network_gives(tmp_path):
    inspected = {"gates": {"experts": ["near", "far"], "weights": {"first": [[0.5, 0.5]], "last": [[0.1, 0.9]]}}}
    assert draw_gates(inspected, ["tom20"], tmp_path / "gates.png") == tmp_path / "gates.png"
    svg = (tmp_path / "gates.svg").read_text()
    assert all(f">{text}</text>" in svg for text in ("near", "far", "first", "last", "tom20"))
