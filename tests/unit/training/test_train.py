"""Training and evaluation on a tiny dataset."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ssp_model.config.schema import MultiHeadLastConfig, RepModeConfig
from ssp_model.data.dataset import Dataset
from ssp_model.data.signal_statistics import training_signals
from ssp_model.errors import InputError
from ssp_model.models.model_file import load_model, read_info
from ssp_model.nn.methods.repmode import RepMode
from ssp_model.training import loader as loader_module
from ssp_model.training.distributed import Placement
from ssp_model.training.dry_run import describe_training
from ssp_model.training.recipe import Recipe
from ssp_model.training.scratch import scratch_copy
from tests import helpers
from tests.helpers import WINDOWS, train_files


def train(datasets, folder, config, seed=0, **options):
    files = train_files(datasets, folder)
    helpers.train(files, config, seed=seed, **options)
    return files.model, files.history


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
    with Dataset(datasets["train"]) as train_set:
        assert info.signals == training_signals(train_set)
    assert info.signals["num_images"] == 4


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


def test_another_method_trains_by_its_settings_alone(datasets, tmp_path, train_config):
    settings = MultiHeadLastConfig(method="multi_head_last", width=1, kernel=3)
    model_path, history_path = train(datasets, tmp_path, train_config, model=settings)
    network, info = load_model(model_path)
    assert (type(network).__name__, info.method, info.settings) == (
        "MultiHeadLast",
        "multi_head_last",
        {"width": 1, "kernel": 3},
    )
    history = pd.read_csv(history_path)
    assert history.train_mse.iloc[-1] < history.train_mse.iloc[0]
    assert history[["experiment", "seed"]].drop_duplicates().to_numpy().tolist() == [["test", 0]]


@pytest.fixture
def read_from(monkeypatch) -> list[Path]:
    """The files that crops were read from."""
    files: list[Path] = []

    class Recorded(loader_module.RandomCrops):
        def _open(self) -> None:
            super()._open()
            files.append(Path(f"/proc/self/fd/{self._images[0][0].file}").readlink())

    monkeypatch.setattr(loader_module, "RandomCrops", Recorded)
    return files


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    """The temporary folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_images_in_memory_or_on_scratch_give_the_same_training(datasets, tmp_path, train_config, read_from, scratch):
    weights = [
        load_file(train(datasets, tmp_path / cache, train_config, placement=Placement(cache=cache))[0])
        for cache in ("disk", "memory", "scratch")
    ]
    for other in weights[1:]:
        assert all(torch.equal(weights[0][name], other[name]) for name in weights[0])
    assert [path.parent for path in read_from[:2]] == [tmp_path, tmp_path]
    assert read_from[2].parent.parent == scratch
    assert not list(scratch.iterdir())


def test_no_copy_is_left_on_scratch_when_a_training_fails(datasets, tmp_path, train_config, read_from, scratch):
    diverging = train_config.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(InputError, match="not a finite number"):
        train(datasets, tmp_path, diverging, placement=Placement(cache="scratch"))
    assert read_from[0].parent.parent == scratch
    assert not list(scratch.iterdir())


def test_images_that_do_not_fit_on_scratch(datasets, tmp_path, train_config, monkeypatch, scratch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**10))
    with pytest.raises(
        InputError, match=r"train.h5 \(0.0 GiB\) can't be copied to .*tmp of .*: 0.0 GiB are free there; let TMPDIR"
    ):
        train(datasets, tmp_path, train_config, placement=Placement(cache="scratch"))


def test_a_copy_that_a_killed_process_left_goes_with_the_next(tmp_path, scratch):
    (tmp_path / "train.h5").write_text("images")
    code = "import os, pathlib as p, signal; from ssp_model.training.scratch import scratch_copy\n"
    killed = code + f"with scratch_copy(p.Path('{tmp_path}/train.h5')): os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", killed], env=os.environ | {"TMPDIR": str(scratch)}, check=False)
    (left,) = scratch.iterdir()
    with scratch_copy(tmp_path / "train.h5") as copy:
        assert not left.exists()
        assert copy.read_text() == "images"


def test_images_that_do_not_fit_in_memory(datasets, tmp_path, train_config, monkeypatch):
    monkeypatch.setattr(loader_module, "free_memory", lambda: 2**10)
    with pytest.raises(InputError, match=r"the images of .*train.h5 take 0.0 GiB, once for each of 1 processes, and"):
        train(datasets, tmp_path, train_config, placement=Placement(cache="memory"))


def test_dry_run_tells_what_it_takes(datasets, train_config):
    recipe = Recipe(RepModeConfig(method="repmode", width=2), train_config, WINDOWS, "test", seed=0)
    told = describe_training(datasets["train"], recipe)
    parameters = sum(parameter.numel() for parameter in RepMode(2, 2).parameters())
    assert told["parameters"] == f"{parameters:,}"
    assert told["steps"] == "6 (2 an epoch of 4 samples, 3 epochs)"
    assert told["memory"].startswith("about 0.0 GiB in 32-true")


def test_one_process_in_a_slurm_job_of_several_tasks(datasets, tmp_path, train_config, monkeypatch):
    """A workflow that is itself one job: sbatch --ntasks 8, and in it snakemake --cores 8."""
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    train(datasets, tmp_path / "run", train_config)
    assert (tmp_path / "run/model.safetensors").exists()
