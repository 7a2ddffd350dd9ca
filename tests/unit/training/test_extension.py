"""A trained model learns one more structure."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ssp_model.config.schema import MultiHeadDecoderConfig, MultiHeadLastConfig
from ssp_model.errors import InputError
from ssp_model.models.model_file import load_model, read_info, save_model
from ssp_model.training import train as train_module
from ssp_model.training.checkpoint import Checkpoint
from tests import helpers
from tests.helpers import train_files

DECODERS = MultiHeadDecoderConfig(method="multi_head_decoder", width=1, kernel=3)


@pytest.fixture
def config(train_config):
    return train_config.model_copy(update={"patch": (16, 32, 16), "batch_size": 4})


@pytest.fixture
def base(datasets_of_five, tmp_path, config):
    """A model that does not know tom20."""
    files = train_files(datasets_of_five, tmp_path / "base")
    helpers.train(files, config, model=DECODERS, structures=("zo1",))
    return files.model


def extend(base, datasets, folder, config, **options):
    files = train_files(datasets, folder)
    helpers.train(files, config, extends=base, **options)
    return files


def test_what_the_model_knew_stays_the_same_to_the_bit(base, datasets_of_five, tmp_path, config):
    files = extend(base, datasets_of_five, tmp_path / "extended", config)
    before, after = load_file(base), load_file(files.model)
    assert all(torch.equal(after[name], before[name]) for name in before)
    (old, old_info), (new, info) = load_model(base), load_model(files.model)
    assert (old_info.structures, info.structures, info.added) == (("zo1",), ("zo1", "tom20"), 1)
    assert old_info.signals["num_images"] == 2
    assert info.signals == old_info.signals
    x = torch.randn(2, 1, 16, 32, 32)
    assert torch.equal(new(x, torch.zeros(2, dtype=torch.int64)), old(x, torch.zeros(2, dtype=torch.int64)))
    assert torch.equal(new.specialise(0)(x), old.specialise(0)(x))
    history = pd.read_csv(files.history)
    assert history.train_mse.iloc[-1] < history.train_mse.iloc[0]
    assert not any("zo1" in column for column in history)


def test_the_file_tells_how_it_came_to_be(base, datasets_of_five, tmp_path, config, monkeypatch):
    """Images are prepared and cut for it as before, whatever the config of the extension says."""
    validate, patches = train_module.validate, []

    def validate_and_note(network, val_set, windows, *arguments, **options):
        patches.append(windows.patch)
        return validate(network, val_set, windows, *arguments, **options)

    monkeypatch.setattr(train_module, "validate", validate_and_note)
    other = config.model_copy(update={"patch": (16, 16, 32), "epochs": 2})
    info = read_info(extend(base, datasets_of_five, tmp_path / "extended", other).model)
    before = read_info(base)
    assert info.patch == before.patch == patches[0] == (16, 32, 16)
    assert (info.voxel_size_um, info.preprocess, info.settings) == (
        before.voxel_size_um,
        before.preprocess,
        {"width": 1, "kernel": 3},
    )
    assert info.training["extends"] == before.training
    assert info.training["epoch"] == 2
    assert info.config["train"]["epochs"] == 2
    assert info.config["model"]["method"] == "multi_head_decoder"


def test_a_training_that_was_stopped_resumes(base, datasets_of_five, tmp_path, config, monkeypatch):
    wanted = load_file(extend(base, datasets_of_five, tmp_path / "uninterrupted", config).model)
    save, saved = Checkpoint.save, []

    def save_and_fail(self, *arguments):
        save(self, *arguments)
        saved.append(True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_fail)
        with pytest.raises(KeyboardInterrupt):
            extend(base, datasets_of_five, tmp_path / "stopped", config)
    assert saved
    found = load_file(extend(base, datasets_of_five, tmp_path / "stopped", config).model)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_training_does_not_resume_with_another_model(base, datasets_of_five, tmp_path, config, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "finish", lambda *_: None)
        extend(base, datasets_of_five, tmp_path / "extended", config)
    network, info = load_model(base)
    with torch.no_grad():
        network.decoders[0].head.weight.mul_(2)
    save_model(network, info, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="belongs to an unfinished training that differs: extends was '"):
        extend(tmp_path / "other.safetensors", datasets_of_five, tmp_path / "extended", config)


def test_a_model_can_be_extended_twice(base, datasets_of_five, tmp_path, config):
    first = extend(base, datasets_of_five, tmp_path / "first", config).model
    for split in ("train", "val"):
        with h5py.File(datasets_of_five[split], "r+") as file:
            names = ["golgi" if name == b"zo1" else name.decode() for name in file["index/task"][()]]
            del file["index/task"]
            file["index/task"] = np.array(names, h5py.string_dtype())
            file.attrs["tasks"] = ["golgi", "tom20"]
    second = extend(first, datasets_of_five, tmp_path / "second", config).model
    info = read_info(second)
    assert (info.structures, info.added) == (("zo1", "tom20", "golgi"), 2)
    after = load_model(second)[0].state_dict()
    assert all(torch.equal(after[name], value) for name, value in load_file(first).items())


def test_exactly_one_structure_must_be_new(base, datasets_of_five, tmp_path, config):
    with pytest.raises(InputError, match="Wanted is zo1, which .*base/model.safetensors knows already; to extend"):
        extend(base, datasets_of_five, tmp_path / "a", config, structures=("zo1",))
    every = train_files(datasets_of_five, tmp_path / "every")
    helpers.train(every, config, model=DECODERS)
    with pytest.raises(InputError, match="train.h5 has samples of tom20, zo1, which .* knows already"):
        extend(every.model, datasets_of_five, tmp_path / "b", config)
    info = read_info(base)
    strange = tmp_path / "strange.safetensors"
    save_model(load_model(base)[0], replace(info, structures=("golgi",)), strange)
    with pytest.raises(
        InputError, match="has samples of tom20, zo1, which .* does not know, .* one structure at a time"
    ):
        extend(strange, datasets_of_five, tmp_path / "c", config)
    files = extend(strange, datasets_of_five, tmp_path / "d", config, structures=("zo1",))
    assert read_info(files.model).structures == ("golgi", "zo1")


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [
        ("voxel_size_um", [0.3, 0.3, 0.4], "has voxels of 0.300 x 0.300 x 0.400 um"),
        (
            "config",
            json.dumps({"preprocess": {"scale": [1, 2, 2]}}),
            r"was made with the preprocess.scale \[1, 2, 2\], but the images of .* with \[1, 1, 1\]; make the dataset",
        ),
    ],
)
def test_images_prepared_in_another_way(base, datasets_of_five, tmp_path, config, attribute, value, sentence):
    for split in ("train", "val"):
        with h5py.File(datasets_of_five[split], "r+") as file:
            file.attrs[attribute] = value
    with pytest.raises(InputError, match=sentence):
        extend(base, datasets_of_five, tmp_path / "extended", config)


def test_a_method_that_has_no_such_way(datasets_of_five, tmp_path, config):
    files = train_files(datasets_of_five, tmp_path / "base")
    helpers.train(files, config, model=MultiHeadLastConfig(method="multi_head_last", width=1), structures=("zo1",))
    with pytest.raises(InputError, match=r"is a model of Multi-Head \(Las.\), which can't be extended by a structure"):
        extend(files.model, datasets_of_five, tmp_path / "extended", config)
