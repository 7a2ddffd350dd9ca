"""Files that a config gives: opened before anything runs."""

import re

import pytest

from ssp_model.config.read import parse_config
from ssp_model.errors import InputError
from ssp_model.evaluation.given import check_given_files


@pytest.fixture
def check(config_values):
    def check(**files) -> None:
        for key, path in files.items():
            section = {"extend": config_values["train"], "about": config_values}.get(key, config_values["evaluate"])
            section[key] = path
        check_given_files(parse_config(config_values))

    return check


def test_right_files_and_addresses_pass(check, model, datasets):
    """Nothing is fetched."""
    check()
    check(model=str(model), test_set=str(datasets["test"]), extend=str(model))
    check(model="s3://lab/model.safetensors", test_set="s3://lab/test.h5", extend="s3://lab/model.safetensors")
    address = f"https://nowhere.invalid/model.safetensors#sha256={'0123456789abcdef' * 4}"
    check(model=address, extend=address)


@pytest.mark.parametrize("key", ["model", "extend"])
def test_an_address_without_a_checksum_is_refused(check, key):
    sentence = rf"^(evaluate|train)\.{key}: https://host/model\.safetensors has no checksum"
    with pytest.raises(InputError, match=sentence):
        check(**{key: "https://host/model.safetensors"})


def test_a_dataset_can_not_be_at_a_web_address(check):
    sentence = r"^evaluate\.test_set: https://host/test\.h5 is an address, and only a path or s3:// is taken here; down"
    with pytest.raises(InputError, match=sentence):
        check(test_set="https://host/test.h5")


@pytest.mark.parametrize("key", ["evaluate.model", "evaluate.test_set", "train.extend"])
def test_a_missing_file_is_named_in_full(check, tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    sentence = f"{key}: there is no file {tmp_path}/mine; correct the path."
    with pytest.raises(InputError, match=re.escape(sentence)):
        check(**{key.partition(".")[2]: "mine"})


def test_files_of_other_kinds_are_named(check, model, datasets, tmp_path):
    with pytest.raises(InputError, match=rf"^train\.extend: {datasets['test']} can't be read as a model file"):
        check(extend=str(datasets["test"]))
    check(extend=None)
    with pytest.raises(InputError, match=rf"^evaluate\.model: {datasets['test']} can't be read as a model file"):
        check(model=str(datasets["test"]))
    check(model=None)
    with pytest.raises(InputError, match=rf"^evaluate\.test_set: {model} can't be read as a dataset"):
        check(test_set=str(model))
    volumes = tmp_path / "tom20-volumes.h5"
    with pytest.raises(InputError, match=rf"^evaluate\.test_set: {volumes} is not a dataset: it has no index"):
        check(test_set=str(volumes))


def test_the_file_of_a_model_card_is_read(check, model, tmp_path):
    about = tmp_path / "about.yaml"
    about.write_text("structures: {tom20: mitochondria}")
    check(about=str(about))
    about.write_text("structures: {golgi: x}")
    with pytest.raises(
        InputError, match=rf"^about: {about}: structures has golgi, but the model predicts alpha_tubulin"
    ):
        check()
    # a given model may know it
    check(model=str(model))
    about.write_text("cell: HeLa")
    with pytest.raises(InputError, match=rf"^about: {about} is wrong: cell is not a key \(known here: name, summary"):
        check()
    check(about="s3://lab/about.yaml")
