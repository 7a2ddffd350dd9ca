"""Files that a config gives for the evaluation: opened before anything runs."""

import re

import pytest

from ssp_model.config.schema import EvaluateConfig
from ssp_model.errors import InputError
from ssp_model.evaluation.given import check_given_files


def check(**files) -> None:
    check_given_files(EvaluateConfig(**{"model": None, "test_set": None, "save_images": "all"} | files))


def test_right_files_and_objects_in_s3_pass(model, datasets):
    check()
    check(model=str(model), test_set=str(datasets["test"]))
    check(model="s3://lab/model.safetensors", test_set="s3://lab/test.h5")


@pytest.mark.parametrize("key", ["model", "test_set"])
def test_a_missing_file_is_named_in_full(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    sentence = f"evaluate.{key}: there is no file {tmp_path}/mine; correct the path."
    with pytest.raises(InputError, match=re.escape(sentence)):
        check(**{key: "mine"})


def test_files_of_other_kinds_are_named(model, datasets, tmp_path):
    with pytest.raises(InputError, match=rf"^evaluate\.model: {datasets['test']} can't be read as a model file"):
        check(model=str(datasets["test"]))
    with pytest.raises(InputError, match=rf"^evaluate\.test_set: {model} can't be read as a dataset"):
        check(test_set=str(model))
    volumes = tmp_path / "tom20-volumes.h5"
    with pytest.raises(InputError, match=rf"^evaluate\.test_set: {volumes} is not a dataset: it has no index"):
        check(test_set=str(volumes))
