"""A training on some structures of a dataset."""

import hashlib
import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ssp_model.data.crops import EpochSampler, RandomCrops
from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.models.model_file import read_info
from ssp_model.training.distributed import Placement
from tests import helpers
from tests.helpers import train_files


@pytest.fixture
def config(train_config):
    # no batch of a single crop
    return train_config.model_copy(update={"batch_size": 3})


def test_only_these_structures_are_trained(datasets_of_five, tmp_path, train_config):
    files = train_files(datasets_of_five, tmp_path / "zo1")
    helpers.train(files, train_config, structures=("zo1",))
    assert read_info(files.model).structures == ("zo1",)
    history = pd.read_csv(files.history)
    assert "train_mse_zo1" in history
    assert not any("tom20" in column for column in history)


def test_all_structures_by_name_train_as_without_names(datasets_of_five, tmp_path, config):
    for name, structures in {"named": ("zo1", "tom20"), "all": None}.items():
        helpers.train(train_files(datasets_of_five, tmp_path / name), config, structures=structures)
    named, wanted = (load_file(tmp_path / name / "model.safetensors") for name in ("named", "all"))
    assert all(torch.equal(named[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_sample_gives_the_same_crops_with_and_without_others(datasets_of_five, in_memory):
    every = RandomCrops(datasets_of_five["train"], (16, 16, 16), seed=3)
    some = RandomCrops(datasets_of_five["train"], (16, 16, 16), seed=3, structures=("zo1",), in_memory=in_memory)
    with Dataset(datasets_of_five["train"], ("zo1",)) as dataset:
        samples = dataset.index.index.tolist()
        assert len(dataset) == len(samples) == 2
        assert dataset.image_bytes() == 4 * 16 * 20 * 18 * 4
    assert set(samples) < set(range(5))
    for sample in samples:
        x, y, task, number = some[2, sample]
        wanted_x, wanted_y, wanted_task, _ = every[2, sample]
        assert torch.equal(x, wanted_x)
        assert torch.equal(y, wanted_y)
        assert (task, wanted_task, number) == (0, 1, sample)
    with pytest.raises(KeyError):
        some[2, min(set(range(5)) - set(samples))]


def test_the_order_of_samples_is_drawn_from_their_numbers():
    assert list(EpochSampler(range(5), seed=1, batch_size=2)) == list(EpochSampler(5, seed=1, batch_size=2))
    drawn = [sample for batch in EpochSampler([3, 7, 8], seed=1, batch_size=2) for _, sample in batch]
    assert sorted(drawn) == [3, 7, 8]


@pytest.mark.parametrize("cache", ["memory", "scratch"])
def test_crops_from_elsewhere_give_the_same_training(datasets_of_five, tmp_path, train_config, cache):
    for place in ("disk", cache):
        files = train_files(datasets_of_five, tmp_path / place)
        helpers.train(files, train_config, structures=("zo1",), placement=Placement(cache=place))
    one, two = (load_file(tmp_path / place / "model.safetensors") for place in ("disk", cache))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_of_other_structures_is_refused(datasets_of_five, tmp_path, config, monkeypatch):
    files = train_files(datasets_of_five, tmp_path / "run")
    monkeypatch.setattr("ssp_model.training.train.publish", lambda *_: None)
    monkeypatch.setattr("ssp_model.training.checkpoint.Checkpoint.finish", lambda *_: None)
    helpers.train(files, config, structures=("zo1",))
    with pytest.raises(InputError, match=r"structures was \['zo1'\], is None"):
        helpers.train(files, config)


def test_the_digest_knows_which_samples_are_used(datasets_of_five):
    digests = set()
    for structures in (None, ("zo1",), ("tom20",)):
        with Dataset(datasets_of_five["train"], structures) as dataset:
            digests.add(dataset.digest())
    assert len(digests) == 3
    with Dataset(datasets_of_five["train"]) as every, Dataset(datasets_of_five["train"], ("tom20", "zo1")) as named:
        assert every.digest() == named.digest()
        # as earlier versions had it, so that their trainings resume
        text = every.index.to_csv(index=False) + json.dumps(every.config, sort_keys=True)
        assert every.digest() == hashlib.sha256(text.encode()).hexdigest()[:16]
        # the same samples at other places of the file give other crops
        named.index.index = named.index.index + 1
        assert every.digest() != named.digest()


def test_a_structure_that_is_not_there(datasets_of_five, tmp_path, train_config):
    with pytest.raises(InputError, match=r"train.h5 has no samples of golgi; it has those of tom20, zo1. Give"):
        helpers.train(train_files(datasets_of_five, tmp_path / "run"), train_config, structures=("golgi", "zo1"))
