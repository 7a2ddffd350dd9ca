"""Trainings that are killed, told to stop or run out of disk go on as if nothing had happened."""

import json
import multiprocessing
import os
import random
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ssp_model.config.schema import TrainConfig
from ssp_model.data.crops import RandomCrops
from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.training import checkpoint as checkpoint_module
from ssp_model.training import train as train_module
from ssp_model.training import validation as validation_module
from ssp_model.training.learner import Learner
from ssp_model.training.stop import sole_user
from ssp_model.training.train import TrainFiles
from ssp_model.training.training_log import EventLog
from tests.helpers import train, train_files

KILLS = 20
# times and memory differ from run to run
MEASURED = ["seconds", "crops_per_s", "peak_memory_mb"]


def train_in_child(files: TrainFiles, config: TrainConfig, save_every_s: float, beats: Connection) -> None:
    """Train, telling the parent of each crop that is read."""
    checkpoint_module.SAVE_EVERY_S = save_every_s
    read = RandomCrops.__getitem__

    def read_and_tell(self, key):
        beats.send_bytes(b".")
        return read(self, key)

    RandomCrops.__getitem__ = read_and_tell
    train(files, config)


@pytest.fixture
def config(train_config) -> TrainConfig:
    return train_config.model_copy(update={"epochs": 8, "schedule": "cosine", "ema": 0.9, "gradient_clip": 1.0})


@pytest.fixture
def uninterrupted(datasets, tmp_path, config) -> TrainFiles:
    files = train_files(datasets, tmp_path / "uninterrupted")
    train(files, config)
    return files


def assert_same_result(files: TrainFiles, wanted: TrainFiles) -> None:
    weights, wanted_weights = load_file(files.model), load_file(wanted.model)
    assert all(torch.equal(weights[name], wanted_weights[name]) for name in wanted_weights)
    histories = [pd.read_csv(f.history).drop(columns=MEASURED) for f in (files, wanted)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    events = [[json.loads(line) for line in f.events.read_text().splitlines()] for f in (files, wanted)]
    for event in events[0] + events[1]:
        for name in MEASURED:
            event.pop(name, None)
    assert events[0] == events[1]
    # what more training would need is gone
    assert (files.checkpoint / "checkpoint.pt").stat().st_size < 20_000


def test_killed_at_random_moments(datasets, tmp_path, config, uninterrupted):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ssp_model.training.train"])
    rng = random.Random(0)
    kills, run = 0, 0
    while kills < KILLS:
        files = train_files(datasets, tmp_path / f"run-{run}")
        run += 1
        while not files.model.exists():
            heard, told = context.Pipe(duplex=False)
            child = context.Process(target=train_in_child, args=(files, config, rng.choice([0.0, 0.02]), told))
            child.start()
            told.close()
            number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
            try:
                for _ in range(rng.randint(1, 12)):
                    heard.recv_bytes()
                os.kill(child.pid, number)
            except (EOFError, ProcessLookupError):
                number = None  # it has ended before
            while True:  # a child that is told to stop may still have much to tell
                try:
                    heard.recv_bytes()
                except EOFError:
                    break
            child.join()
            kills += number is not None
            if number == signal.SIGKILL:
                assert child.exitcode in (-signal.SIGKILL, 0)
            elif number is not None:
                # just before the handlers are set or after they are reset, the signal itself ends the child
                assert child.exitcode in (128 + number, -number, 0, 1)
        assert_same_result(files, uninterrupted)


def test_interrupted_validation_goes_on(datasets, tmp_path, config, uninterrupted, monkeypatch):
    files = train_files(datasets, tmp_path / "run")
    scored = []

    def score_and_stop(*images):
        scored.append(images)
        if len(scored) == 3:  # the first image of the second validation
            os.kill(os.getpid(), signal.SIGTERM)
        return real_score(*images)

    real_score = validation_module.squared_error
    monkeypatch.setattr(validation_module, "squared_error", score_and_stop)
    with pytest.raises(SystemExit) as stopped:
        train(files, config)
    assert stopped.value.code == 128 + signal.SIGTERM
    train(files, config)
    assert_same_result(files, uninterrupted)


def stop_early(files: TrainFiles, config: TrainConfig, monkeypatch) -> None:
    """Train until the first validation, and leave the state."""

    def stop(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return 1.0

    with monkeypatch.context() as patch:
        patch.setattr(validation_module, "squared_error", stop)
        with pytest.raises(SystemExit):
            train(files, config)
    assert (files.checkpoint / "checkpoint.pt").exists()


def test_state_of_another_training_is_refused(datasets, tmp_path, config, monkeypatch):
    files = train_files(datasets, tmp_path / "run")
    stop_early(files, config, monkeypatch)
    changed = config.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(InputError, match=r"differs: train\.learning_rate was 0\.01, is 0\.5\. Restore these"):
        train(files, changed)
    other_data = TrainFiles(**{**vars(files), "train": datasets["test"]})
    with pytest.raises(InputError, match=r"differs: data\.train was '\w+', is '\w+'"):
        train(other_data, config)


def test_stopped_in_the_only_step_of_an_epoch(datasets, tmp_path, config, monkeypatch):
    files = train_files(datasets, tmp_path / "run")
    one_step = config.model_copy(update={"batch_size": 8})
    real_step = Learner.step

    def step_and_stop(learner, batch):
        os.kill(os.getpid(), signal.SIGTERM)
        return real_step(learner, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", step_and_stop)
        with pytest.raises(SystemExit):
            train(files, one_step)
    train(files, one_step)
    whole = train_files(datasets, tmp_path / "whole")
    train(whole, one_step)
    assert_same_result(files, whole)


def test_damaged_and_later_checkpoints_are_refused(datasets, tmp_path, config):
    files = train_files(datasets, tmp_path / "run")
    files.checkpoint.mkdir(parents=True)
    torch.save({"format": 9}, files.checkpoint / "checkpoint.pt")
    with pytest.raises(InputError, match=r"checkpoint\.pt has the format 9, but this version of ssp_model reads 2"):
        train(files, config)
    (files.checkpoint / "checkpoint.pt").write_bytes(b"half of it")
    with pytest.raises(InputError, match=r"checkpoint\.pt is damaged \(.*; delete .* to start anew"):
        train(files, config)


def test_unfinished_training_of_the_first_version_is_refused(datasets, tmp_path, config):
    """Its state had other names; a finished one is no hindrance."""
    files = train_files(datasets, tmp_path / "run")
    files.checkpoint.mkdir(parents=True)
    torch.save({"identity": "{}", "learner": {}, "progress": {}}, files.checkpoint / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt belongs to an unfinished training that ssp_model 0\.1\.0 began"):
        train(files, config)
    torch.save({"identity": "{}", "progress": {}, "code": ""}, files.checkpoint / "state.pt")
    train(files, config)
    assert files.model.exists()


def test_state_in_use_is_left_alone(datasets, tmp_path, config, monkeypatch):
    """By a job that has outlived its workflow, on another machine perhaps."""
    files = train_files(datasets, tmp_path / "run")
    stop_early(files, config, monkeypatch)
    before = (files.checkpoint / "checkpoint.pt").read_bytes()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with (
        sole_user(files.checkpoint),
        pytest.raises(InputError, match=r"in use by a training that still runs, process \d+ on \S+, Slurm job 7; wait"),
    ):
        train(files, config)
    assert (files.checkpoint / "checkpoint.pt").read_bytes() == before
    train(files, config)
    assert files.model.exists()


def test_results_of_a_training_that_has_ended_are_kept(datasets, tmp_path, config, uninterrupted, monkeypatch):
    """Its workflow was killed meanwhile, and the next one deletes the results that it did not wait for."""
    files = train_files(datasets, tmp_path / "run")
    train(files, config)
    wanted = files.model.read_bytes()
    for path in (files.model, files.history, files.events):
        path.unlink()

    def read(self, key):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(RandomCrops, "__getitem__", read)
        train(files, config)
        assert files.model.read_bytes() == wanted
        assert_same_result(files, uninterrupted)
        # of other settings or by other code it is trained anew
        with pytest.raises(ZeroDivisionError):
            train(files, config.model_copy(update={"learning_rate": 0.5}))
        patch.setattr(train_module, "source_digest", lambda *modules: "other")
        with pytest.raises(ZeroDivisionError):
            train(files, config)
    # and these results are not touched before there are others
    assert files.model.read_bytes() == wanted
    train(files, config)
    assert_same_result(files, uninterrupted)


def test_full_disk_leaves_the_last_state(datasets, tmp_path, config, uninterrupted, monkeypatch):
    files = train_files(datasets, tmp_path / "run")
    stop_early(files, config, monkeypatch)
    before = (files.checkpoint / "checkpoint.pt").read_bytes()
    real_save = torch.save

    def save_on_full_disk(content, path):
        with Path(path).open("wb") as file, Path("/dev/full").open("wb", buffering=0) as full:
            file.write(b"part of it")
            full.write(b"no room")

    monkeypatch.setattr(checkpoint_module.torch, "save", save_on_full_disk)
    with pytest.raises(InputError, match="No space left on device.*free some space there and run again"):
        train(files, config)
    assert (files.checkpoint / "checkpoint.pt").read_bytes() == before
    assert not [path for path in files.checkpoint.iterdir() if "part" in path.name]
    monkeypatch.setattr(checkpoint_module.torch, "save", real_save)
    train(files, config)
    assert_same_result(files, uninterrupted)


def test_replacing_never_shows_a_part(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("whole")

    def write_half() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert target.read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_full_disk_while_keeping_the_best_model(datasets, tmp_path, config, monkeypatch):
    files = train_files(datasets, tmp_path / "run")

    def save_on_full_disk(*arguments):
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"no room")

    monkeypatch.setattr(train_module, "save_model", save_on_full_disk)
    with pytest.raises(InputError, match="No space left on device.*free some space there and run again"):
        train(files, config)
    assert not files.model.exists()


def test_options(datasets, tmp_path, config):
    files = train_files(datasets, tmp_path / "run")
    # nothing gets better at a learning rate of next to nothing, with weights averaged over ages
    still = config.model_copy(
        update={"learning_rate": 1e-30, "early_stopping": 2, "keep_every": 2, "validate_every": 1}
    )
    train(files, still)
    history = pd.read_csv(files.history)
    assert len(history) < 8
    assert sorted(path.name for path in files.checkpoint.glob("epoch-*")) == [
        f"epoch-{epoch:04d}.safetensors" for epoch in range(2, len(history) + 1, 2)
    ]


def test_event_log_is_cut_back_cleanly(tmp_path):
    log = EventLog(tmp_path / "events.jsonl", 0)
    log.write({"step": 1})
    kept = log.flush()
    log.write({"step": 2})
    log.close()
    for _ in range(2):
        # taken up, and stopped again before anything is written
        log = EventLog(tmp_path / "events.jsonl", kept)
        assert log.flush() == kept
        log.close()
    assert (tmp_path / "events.jsonl").read_text() == '{"step": 1}\n'
