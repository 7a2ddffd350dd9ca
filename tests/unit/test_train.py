"""Training and evaluation on a tiny dataset."""

from types import SimpleNamespace

import h5py
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from ssp_model import train as train_module
from ssp_model.checkpoint import load_model, read_info
from ssp_model.config import EvaluateConfig, ModelConfig, PredictConfig
from ssp_model.dry_run import describe_training
from ssp_model.errors import InputError
from ssp_model.evaluate import evaluate_model, is_median
from ssp_model.nn import RepMode
from ssp_model.train import TrainFiles, train_model
from tests.unit.conftest import UNTRACKED


def train(datasets, folder, config, seed=0):
    outputs = [folder / name for name in ("model.safetensors", "history.csv", "events.jsonl")]
    files = TrainFiles(datasets["train"], datasets["val"], *outputs, folder / "state", folder / "wandb")
    train_model(files, ModelConfig(width=2), config, PredictConfig(overlap=0.0), UNTRACKED, "test", seed)
    return outputs[:2]


def test_training_keeps_the_best_model_and_its_history(datasets, tmp_path, train_config):
    model_path, history_path = train(datasets, tmp_path / "a", train_config)
    history = pd.read_csv(history_path)
    assert history.epoch.tolist() == [1, 2, 3]
    assert history.val_mse.notna().tolist() == [False, True, True]
    assert {"train_mse_tom20", "train_mse_zo1", "val_mse_tom20", "val_mse_zo1"} <= set(history)
    info = read_info(model_path)
    assert info.training["val_mse"] == pytest.approx(history.val_mse.min())
    assert info.training["epoch"] == history.epoch[history.val_mse.idxmin()]
    assert info.structures == ("tom20", "zo1")
    assert info.config["train"]["epochs"] == 3


def test_training_is_reproducible(datasets, tmp_path, train_config):
    weights = [load_file(train(datasets, tmp_path / str(i), train_config, seed)[0]) for i, seed in enumerate((3, 3, 4))]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_diverging_training_stops_plainly(datasets, tmp_path, train_config):
    with pytest.raises(
        InputError, match=r"in step \d of epoch 1, for (tom20|zo1) in data/\w+/\d.czi.*; lower train.learning_rate"
    ):
        train(datasets, tmp_path / "nan", train_config.model_copy(update={"learning_rate": 1e30}))
    assert not (tmp_path / "nan/model.safetensors").exists()


def test_evaluation(datasets, tmp_path, train_config):
    model_path, _ = train(datasets, tmp_path, train_config)
    outputs = [tmp_path / name for name in ("per_image.csv", "per_structure.csv", "overall.csv", "images")]
    saves_all = EvaluateConfig(save_images="all")
    evaluate_model(model_path, datasets["test"], *outputs, "float32", PredictConfig(overlap=0.5), saves_all)
    images = pd.read_csv(outputs[0])
    assert len(images) == 4
    assert images.file.map(lambda name: (outputs[3] / name).exists()).all()
    assert pd.read_csv(outputs[2]).r2[0] == pytest.approx(images.r2.mean())

    evaluate_model(
        model_path, datasets["test"], *outputs[:3], tmp_path / "pictured", "float32", PredictConfig(overlap=0.5),
        EvaluateConfig(save_images="pictured"),
    )  # fmt: skip
    assert len(list((tmp_path / "pictured").rglob("*.tif"))) == 2


def test_evaluation_refuses_another_voxel_size_or_unknown_structures(datasets, tmp_path, train_config):
    model_path, _ = train(datasets, tmp_path, train_config)
    outputs = [tmp_path / "out" / str(i) for i in range(4)]
    arguments = (*outputs, "float32", PredictConfig(overlap=0.5), EvaluateConfig(save_images="all"))
    with h5py.File(datasets["test"], "a") as file:
        file.attrs["voxel_size_um"] = [0.3, 0.1, 0.1]
    with pytest.raises(InputError, match="voxels of 0.300 x 0.100 x 0.100 um .* trained at 0.300 x 0.300 x 0.300 um"):
        evaluate_model(model_path, datasets["test"], *arguments)
    with h5py.File(datasets["test"], "a") as file:
        file.attrs["voxel_size_um"] = [0.3, 0.3, 0.3]
        file["index/task"][0] = "golgi"
        file.attrs["tasks"] = ["golgi", "tom20", "zo1"]
    with pytest.raises(InputError, match="has samples of golgi, but the model predicts tom20, zo1 only"):
        evaluate_model(model_path, datasets["test"], *arguments)
    assert not any(path.exists() for path in outputs)


def test_the_pictured_image_is_the_median():
    table = pd.DataFrame({"structure": ["a"] * 4 + ["b"] * 3, "r2": [0.4, 0.1, 0.3, 0.2, 3.0, 1.0, 2.0]})
    assert table.r2[is_median(table)].tolist() == [0.2, 2.0]


def test_files_that_are_no_models(tmp_path):
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04no")
    with pytest.raises(InputError, match="can't be read as a model"):
        load_model(tmp_path / "pickle.safetensors")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is no model of this project: its format is 'none'"):
        load_model(tmp_path / "other.safetensors")


def test_images_in_memory_give_the_same_training(datasets, tmp_path, train_config):
    weights = [
        load_file(train(datasets, tmp_path / cache, train_config.model_copy(update={"cache": cache}))[0])
        for cache in ("disk", "memory")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_images_that_do_not_fit_in_memory(datasets, tmp_path, train_config, monkeypatch):
    monkeypatch.setattr(train_module.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**10))
    with pytest.raises(InputError, match=r"the images of .*train.h5 take 0.0 GiB, once for each of 1 processes, and"):
        train(datasets, tmp_path, train_config.model_copy(update={"cache": "memory"}))


def test_dry_run_tells_what_it_takes(datasets, train_config):
    told = describe_training(datasets["train"], ModelConfig(width=2), train_config)
    parameters = sum(parameter.numel() for parameter in RepMode(2, 2).parameters())
    assert told["parameters"] == f"{parameters:,}"
    assert told["steps"] == "6 (2 an epoch of 4 samples, 3 epochs)"
    assert told["memory"].startswith("about 0.0 GiB in 32-true")
