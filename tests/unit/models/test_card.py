"""What a model card says beside the model file."""

import re

import pytest

from ssp_model.config.schema import METHOD_NAMES
from ssp_model.errors import InputError
from ssp_model.models.card import (
    About,
    check_structures,
    describe_keys,
    describe_method,
    describe_training,
    hub_license,
    read_about,
)


@pytest.fixture
def read(tmp_path):
    """Reads a file of a text."""

    def read_text(text: str) -> About:
        (tmp_path / "about.yaml").write_text(text)
        return read_about(tmp_path / "about.yaml")

    return read_text


def test_all_may_be_left_out(read):
    about = read("")
    assert about == About()
    assert about.cells is None
    assert about.dataset is None


def test_what_a_person_tells(read):
    about = read("cells: none\nauthors: [A, B]\nstructures: {tom20: mitochondria}\ndataset: {name: Toy}\n")
    # none is a text here, not null
    assert about.cells == "none"
    assert about.authors == ("A", "B")
    assert about.structures == {"tom20": "mitochondria"}
    assert about.dataset.name == "Toy"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("licence: MIT", "licence is not a key (known here: name, summary, authors, "),
        ("dataset: {url: x}", "dataset.url is not a key (known here: name, address, license, citation)."),
        ("name: 2024", "name is 2024 but should be text: put it in quotes"),
        ("name: ''", "name is '' but should not be empty."),
        ("authors: Jane", "authors is 'Jane' but should be a list"),
        ("structures: [tom20]", "structures is ['tom20'] but should hold keys."),
        ("dataset: Toy", "dataset is 'Toy' but should hold keys (name, address, ...)."),
    ],
)
def test_a_wrong_key_is_named_with_its_file(read, tmp_path, text, sentence):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}/about.yaml is wrong: {sentence}")):
        read(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"about\.yaml can't be read"):
        read_about(tmp_path / "about.yaml")


def test_structures_must_be_those_of_the_model():
    about = About(structures={"tom20": "mitochondria", "golgi": "Golgi apparatus"})
    check_structures(about, ("golgi", "tom20"), "about.yaml")
    with pytest.raises(InputError, match=r"^about\.yaml: structures has golgi, but the model predicts tom20 only"):
        check_structures(about, ("tom20",), "about.yaml")


@pytest.mark.parametrize(
    ("told", "header"),
    [
        ({}, {}),
        ({"license": "CC BY 4.0"}, {"license": "cc-by-4.0"}),
        ({"license": "BSD-3-Clause"}, {"license": "bsd-3-clause"}),
        ({"license": "Terms of our lab!"}, {"license": "other", "license_name": "terms-of-our-lab"}),
        (
            {"license": "Own", "license_address": "https://example.org/own"},
            {"license": "other", "license_name": "own", "license_link": "https://example.org/own"},
        ),
    ],
)
def test_a_licence_in_the_words_of_the_hub(told, header):
    assert hub_license(About(**told)) == header


def test_every_method_is_described():
    texts = {describe_method(method) for method in METHOD_NAMES}
    assert len(texts) == len(METHOD_NAMES)
    assert describe_method("dodnet").startswith("DoDNet, a plain U-Net whose last layers")


def test_keys_have_the_meanings_of_the_docs():
    config = {"train": {"epochs": 3, "gone": 1}, "model": {"width": 8, "gate": "softmax"}, "dna": None}
    epochs, gone = describe_keys(config, "train", "repmode")
    assert epochs == (
        "train.epochs",
        3,
        "Number of epochs. In an epoch, each training sample gives one random crop.",
    )
    assert gone == ("train.gone", 1, "")
    _, (name, _, meaning) = describe_keys(config, "model", "repmode")
    assert name == "model.gate"
    assert meaning.startswith("`softmax` for weights")
    # another method does not have this key
    assert describe_keys(config, "model", "dodnet")[1][2] == ""
    assert describe_keys(config, "dna", "repmode") == describe_keys({}, "split", "repmode") == []
    (quota,) = describe_keys({"dna": {"quota": {"train": 5}}}, "dna", "repmode")
    assert quota == ("dna.quota.train", 5, "Number of images to train on.")


def test_a_training_is_described_with_the_one_before():
    rows = describe_training({"seed": 1, "extends": {"epoch": 20, "odd": "x"}})
    assert rows[0] == ("training.seed", 1, "Random seed of weights, crops and their order.")
    assert rows[1] == ("training.extends.epoch", 20, "Epoch whose network was kept.")
    assert rows[2] == ("training.extends.odd", "x", "")
