"""A training's copy in Weights & Biases: a real offline run, read back from its file."""

import json
import os
import signal
import struct

import pytest
from wandb.proto import wandb_internal_pb2

from ssp_model.config.schema import TrackingConfig
from ssp_model.errors import InputError
from ssp_model.training import validation as validation_module
from ssp_model.training.tracking import WandbTracker, track
from tests import helpers
from tests.helpers import train_files

OFFLINE = TrackingConfig(wandb="offline", project="test")


def train(datasets, folder, config):
    files = train_files(datasets, folder)
    helpers.train(files, config, tracking=OFFLINE)
    return files


def records(path):
    """A run's file is a LevelDB log: blocks of 32 KiB, of parts with a header of checksum, length and kind."""
    data, start, whole = path.read_bytes(), 7, b""
    while start + 7 <= len(data):
        left = 32768 - start % 32768
        if left < 7:
            start += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, start)
        whole += data[start + 7 : start + 7 + length]
        start += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def rows_of(run_file):
    """What a run's file holds: its id, its name, its settings and its rows."""
    rows, about = [], {}
    for record in records(run_file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            settings = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            about = {"id": record.run.run_id, "name": record.run.display_name, "settings": settings}
        if kind == "history":
            items = record.history.item
            rows.append({(item.key or item.nested_key[0]): json.loads(item.value_json) for item in items})
    return about, rows


def test_a_stopped_training_goes_on_in_the_same_run(datasets, tmp_path, train_config, monkeypatch):
    config = train_config.model_copy(update={"validate_every": 1})
    scored = []

    def score_and_stop(*images):
        scored.append(images)
        if len(scored) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return real_score(*images)

    real_score = validation_module.squared_error
    monkeypatch.setattr(validation_module, "squared_error", score_and_stop)
    with pytest.raises(SystemExit):
        train(datasets, tmp_path, config)
    files = train(datasets, tmp_path, config)

    run_files = sorted((tmp_path / "wandb/wandb").glob("offline-run-*/*.wandb"))
    assert len(run_files) == 2
    abouts, parts = zip(*map(rows_of, run_files), strict=True)
    assert abouts[0] == {**abouts[1], "settings": abouts[0]["settings"]}
    assert abouts[0]["name"] == "test-0"
    assert abouts[0]["settings"]["train"]["epochs"] == 3
    assert abouts[0]["settings"]["seed"] == 0

    # what the log tells, row for row
    sent = [row for part in parts for row in part]
    events = [json.loads(line) for line in files.events.read_text().splitlines()]
    steps = [(event["step"], event["mse"]) for event in events if event["event"] == "step"]
    assert [(row["step"], row["step/mse"]) for row in sent if "step/mse" in row] == steps
    # two steps an epoch
    epochs = [(2 * event["epoch"], event["epoch"], event["val_mse"]) for event in events if event["event"] == "epoch"]
    assert [(row["step"], row["epoch/epoch"], row["epoch/val_mse"]) for row in sent if "epoch/val_mse" in row] == epochs
    assert {"epoch/learning_rate", "epoch/crops_per_s", "epoch/peak_memory_mb", "epoch/train_mse_zo1"} <= set(sent[2])
    assert len([row for row in sent if any(key.startswith("validation") for key in row)]) == 3
    assert sorted(path.name for path in (tmp_path / "wandb/pictures").iterdir()) == [
        f"epoch-{epoch:04d}.png" for epoch in (1, 2, 3)
    ]


def test_not_all_of_many_structures_are_pictured(datasets, tmp_path, train_config, monkeypatch):
    pictured = []
    monkeypatch.setattr(WandbTracker, "picture", lambda self, epoch, images: pictured.append(list(images)))
    monkeypatch.setattr(validation_module, "MOST_PICTURED", 1)
    train(datasets, tmp_path, train_config)
    assert {len(names) for names in pictured} == {1}


def test_a_new_training_is_a_new_run(datasets, tmp_path, train_config):
    ids = []
    for epochs in (2, 1):
        files = train(datasets, tmp_path, train_config.model_copy(update={"epochs": epochs, "validate_every": 2}))
        ids.append(json.loads((files.tracking / "run.json").read_text())["id"])
    assert ids[0] != ids[1]
    assert sorted(path.name for path in (files.tracking / "pictures").iterdir()) == ["epoch-0001.png"]


def test_online_without_a_login_is_told_plainly(datasets, tmp_path, train_config, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    online = OFFLINE.model_copy(update={"wandb": "online"})
    with pytest.raises(InputError, match="can't track this training .*run `wandb login`, or set tracking.wandb to"):
        track(tmp_path / "wandb", online, name="run-0", settings={}, resumes=False)
