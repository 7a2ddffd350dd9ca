"""Two real processes train as one does."""

import re
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from ssp_model.data.crops import EpochSampler
from ssp_model.errors import InputError
from ssp_model.nn.methods.repmode import RepMode
from ssp_model.training.distributed import Placement, start_processes
from ssp_model.training.loader import check_batches
from tests.helpers import PROJECT

SSP = Path(sys.executable).parent / "ssp"


def command(datasets, folder: Path, devices: int, cache: str = "disk", **options) -> list[str | Path]:
    tiny = {"patch": [16, 16, 16], "epochs": 3, "batch_size": 3, "validate_every": 1, "precision": "float32"}
    overlay = {
        "model": {"width": 2},
        "train": {**tiny, "learning_rate": 1e-5, **options},
        "tracking": {"wandb": "disabled"},
    }
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(yaml.safe_dump(overlay))
    configs = ["--config", PROJECT / "config.yaml", "--config", folder / "mine.yaml"]
    placement = ["--devices", str(devices), "--cache", cache]
    return [SSP, "train", datasets["train"], datasets["val"], folder, *configs, *placement]


def train(datasets, folder: Path, devices: int, **options) -> str:
    ran = subprocess.run(command(datasets, folder, devices, **options), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def test_two_processes_give_the_curve_of_one(datasets_of_five, tmp_path):
    """Five samples in batches of three: shares of two and one, and of one and one."""
    train(datasets_of_five, tmp_path / "1", 1)
    # from one copy of the dataset for both
    assert train(datasets_of_five, tmp_path / "2", 2, cache="scratch").count("copying") == 1
    one, two = (pd.read_csv(tmp_path / str(devices) / "history.csv") for devices in (1, 2))
    for column in [name for name in one if "mse" in name]:
        np.testing.assert_allclose(two[column], one[column], rtol=1e-5, err_msg=column)
    events = [(tmp_path / str(devices) / "events.jsonl").read_text().splitlines() for devices in (1, 2)]
    assert len(events[0]) == len(events[1]) == 3 * (2 + 1)

    weights = [load_file(tmp_path / str(devices) / "model.safetensors") for devices in (1, 2)]
    torch.manual_seed(0)
    start = RepMode(num_tasks=2, width=2).state_dict()
    for name in ("encoder.0.block1.conv.experts.conv5", "decoder.3.block2.conv.experts.conv3", "up.0.1.running_var"):
        apart, moved = weights[1][name] - weights[0][name], weights[0][name] - start[name]
        assert apart.norm() < 0.02 * moved.norm(), name


def test_two_processes_are_stopped_and_go_on(datasets_of_five, tmp_path):
    train(datasets_of_five, tmp_path / "whole", 2, epochs=6)
    stopped = tmp_path / "stopped"
    with subprocess.Popen(
        command(datasets_of_five, stopped, 2, epochs=6), stderr=subprocess.PIPE, text=True
    ) as process:
        # only the first process gets the signal; the other must hear of it
        next(line for line in process.stderr if line.startswith("epoch 1 of 6"))
        process.send_signal(signal.SIGTERM)
        told = process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM, told
    assert "stopped by SIGTERM" in told
    assert not (stopped / "model.safetensors").exists()
    train(datasets_of_five, stopped, 2, epochs=6)
    whole, resumed = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", stopped))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert len((stopped / "events.jsonl").read_text().splitlines()) == 6 * (2 + 1)


def test_all_processes_hear_that_scratch_has_no_room(datasets_of_five, tmp_path):
    ran = subprocess.run(
        # no file may be larger than 100 kB
        ["prlimit", "--fsize=100000", *command(datasets_of_five, tmp_path / "full", 2, cache="scratch")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.count("can't be copied to") == 2
    assert "copying failed (File too large); let TMPDIR name a folder with more room" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_shares_of_all_processes_are_the_batches(processes):
    whole = list(EpochSampler(11, seed=0, batch_size=4))
    shares = [list(EpochSampler(11, 0, 4, rank, processes)) for rank in range(processes)]
    assert [list(chain(*parts)) for parts in zip(*shares, strict=True)] == whole


def test_too_many_processes_for_the_last_batch(train_config):
    config = train_config.model_copy(update={"batch_size": 8})
    check_batches(16, config, 4)
    with pytest.raises(
        InputError, match="17 training samples in batches of 8 leave a last batch of 1, too small for 2"
    ):
        check_batches(17, config, 2)
    with pytest.raises(InputError, match="a last batch of one crop of 16 x 16 x 16 voxels, which is a single"):
        check_batches(17, config, 1)
    check_batches(17, config.model_copy(update={"patch": (16, 16, 32)}), 1)


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """What this process was to become."""
    commands: list[list[str]] = []

    def become(program: str, command: list[str]) -> None:
        commands.append(command)
        raise SystemExit

    monkeypatch.setattr("os.execvp", become)
    for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return commands


def test_srun_starts_each_process_once(started, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    start_processes(Placement(devices=1, nodes=1, threads=4))
    assert started == []
    with pytest.raises(SystemExit):
        start_processes(Placement(devices=2, nodes=3, threads=4))
    (command,) = started
    assert command[:5] == ["srun", "--nodes=3", "--ntasks=6", "--ntasks-per-node=2", "--cpus-per-task=4"]
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    start_processes(Placement(devices=2, nodes=3, threads=4))
    assert len(started) == 1


def test_several_machines_need_something_that_starts_processes_there(started, monkeypatch):
    start_processes(Placement(devices=2))  # Fabric does, here
    with pytest.raises(
        InputError,
        match=r"to run on 2 machines .*, but this is no Slurm job.*profiles/slurm",
    ):
        start_processes(Placement(nodes=2))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    start_processes(Placement(nodes=2))
    assert started == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"cache": "ram"}, "The resource cache of train_model is 'ram'; give one of disk, scratch, memory."),
        ({"devices": 0}, "The resources tasks_per_node and nodes of train_model are 0 and 1; give 1 or more."),
    ],
)
def test_wrong_placements_are_told_plainly(wrong, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        Placement(**wrong)
