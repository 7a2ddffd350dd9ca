"""Networks that are trained alone, joined to one model."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from ssp_model.config.schema import MultiNetConfig
from ssp_model.data.dataset import Dataset
from ssp_model.data.signal_statistics import training_signals
from ssp_model.errors import InputError
from ssp_model.models.model_file import load_model, read_info
from ssp_model.nn.methods.multi_net import MultiNet
from ssp_model.training.join import Results, join_models, joined_history
from ssp_model.training.train import check_processes
from tests import helpers
from tests.helpers import train_files

ALONE = MultiNetConfig(method="multi_net", width=1, kernel=3)


def results(folder) -> Results:
    return Results(folder / "model.safetensors", folder / "history.csv", folder / "events.jsonl")


@pytest.fixture
def config(train_config):
    # a single crop of 16 voxels is too small for batch norm
    return train_config.model_copy(update={"patch": (16, 32, 16), "batch_size": 4, "epochs": 4})


@pytest.fixture
def parts(datasets_of_five, tmp_path, config):
    for structure in ("tom20", "zo1"):
        files = train_files(datasets_of_five, tmp_path / structure)
        helpers.train(files, config, model=ALONE, structures=(structure,))
    return {structure: results(tmp_path / structure) for structure in ("zo1", "tom20")}


def join(parts, datasets, folder) -> Results:
    join_models(parts, results(folder), datasets["train"], datasets["val"])
    return results(folder)


def test_the_joined_model_is_its_parts(parts, datasets_of_five, tmp_path):
    joined = join(parts, datasets_of_five, tmp_path / "joined")
    network, info = load_model(joined.model)
    assert info.structures == ("tom20", "zo1")
    x = torch.randn(1, 1, 16, 32, 32)
    for task, structure in enumerate(info.structures):
        alone, told = load_model(parts[structure].model)
        assert info.training["parts"][structure] == {key: told.training[key] for key in ("epoch", "val_mse")}
        assert torch.equal(network.specialise(task)(x), alone.specialise(0)(x))
    # a validation image each
    both = [part["val_mse"] for part in info.training["parts"].values()]
    assert info.training["val_mse"] == pytest.approx(np.mean(both))
    assert info.training.keys() == {"experiment", "seed", "val_mse", "parts"}
    with Dataset(datasets_of_five["train"]) as train_set:
        assert info.signals == training_signals(train_set)


def test_the_joined_history_is_that_of_one_training(parts, datasets_of_five, tmp_path, config):
    joined = join(parts, datasets_of_five, tmp_path / "joined")
    helpers.train(train_files(datasets_of_five, tmp_path / "together"), config, model=ALONE)
    history = pd.read_csv(joined.history)
    assert list(history) == list(pd.read_csv(tmp_path / "together/history.csv"))
    assert history.epoch.tolist() == [1, 2, 3, 4]
    # three samples of one structure, two of the other
    wanted = (3 * history.train_mse_tom20 + 2 * history.train_mse_zo1) / 5
    np.testing.assert_allclose(history.train_mse, wanted)
    assert history.val_mse.notna().tolist() == [False, True, False, True]
    alone = {structure: pd.read_csv(part.history) for structure, part in parts.items()}
    assert history.val_mse_zo1.equals(alone["zo1"].val_mse)
    np.testing.assert_allclose(history.seconds, alone["zo1"].seconds + alone["tom20"].seconds)
    np.testing.assert_allclose(history.crops_per_s, 5 / history.seconds)


def test_events_tell_their_structure(parts, datasets_of_five, tmp_path):
    joined = join(parts, datasets_of_five, tmp_path / "joined")
    events = [json.loads(line) for line in joined.events.read_text().splitlines()]
    assert [event["structure"] for event in events if event["event"] == "epoch"] == ["tom20"] * 4 + ["zo1"] * 4
    assert all(f"mse_{event['structure']}" in event for event in events if event["event"] == "step")


def test_a_training_that_ended_early_counts_with_its_last_values():
    common = {"experiment": "test", "seed": 0, "learning_rate": 1e-3, "peak_memory_mb": [1.0, 2.0]}
    short = pd.DataFrame({"epoch": [1, 2], "train_mse": [4.0, 2.0], "seconds": 1.0, "val_mse": [np.nan, 3.0], **common})
    common["peak_memory_mb"] = [5.0, 1.0, 1.0, 1.0]
    long = pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4],
            "train_mse": [1.0, 2.0, 3.0, 4.0],
            "seconds": 2.0,
            "val_mse": [np.nan, 2, np.nan, 1],
            **common,
        }
    )
    counts = pd.Series({"a": 1, "b": 3})
    history = joined_history({"a": short, "b": long}, counts, counts)
    assert history.train_mse.tolist() == [(4 + 3) / 4, (2 + 6) / 4, (2 + 9) / 4, (2 + 12) / 4]
    assert history.train_mse_a.isna().tolist() == [False, False, True, True]
    assert history.val_mse.fillna(-1).tolist() == [-1, (3 + 6) / 4, -1, (3 + 3) / 4]
    assert history.seconds.tolist() == [3, 3, 2, 2]
    assert history.crops_per_s.tolist() == [4 / 3, 4 / 3, 3 / 2, 3 / 2]
    assert history.peak_memory_mb.tolist() == [5, 2, 1, 1]


def test_parts_that_do_not_belong_together(parts, datasets_of_five, tmp_path, config):
    with pytest.raises(InputError, match="zo1/model.safetensors predicts zo1, wanted is tom20 only"):
        join(parts | {"tom20": parts["zo1"]}, datasets_of_five, tmp_path / "joined")
    files = train_files(datasets_of_five, tmp_path / "wide")
    helpers.train(files, config, model=ALONE.model_copy(update={"width": 2}), structures=("zo1",))
    with pytest.raises(InputError, match="was trained in another way than .*tom20.*; train all structures with the"):
        join(parts | {"zo1": results(tmp_path / "wide")}, datasets_of_five, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_several_processes_are_refused_but_for_one_structure(datasets_of_five, tmp_path, config):
    check_processes(MultiNet(1, 1), 2)
    check_processes(MultiNet(2, 1), 1)
    with pytest.raises(InputError, match=r"Multi-Net can be trained by one process only.* but 2 processes are asked"):
        check_processes(MultiNet(2, 1), 2)


def test_networks_that_may_see_one_crop_of_a_batch(datasets_of_five, tmp_path, config):
    small = config.model_copy(update={"patch": (16, 16, 16)})
    with pytest.raises(
        InputError, match="Crops of 16 x 16 x 16 voxels are a single voxel at the deepest level, too few"
    ):
        helpers.train(train_files(datasets_of_five, tmp_path / "small"), small, model=ALONE)
    helpers.train(train_files(datasets_of_five, tmp_path / "alone"), small, model=ALONE, structures=("zo1",))
    assert read_info(tmp_path / "alone/model.safetensors").structures == ("zo1",)
