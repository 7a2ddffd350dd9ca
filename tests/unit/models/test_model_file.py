"""Model files: what was written is read, and what can't be used is refused in one sentence."""

import json
import os
import re
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ssp_model.errors import InputError
from ssp_model.models.model_file import FIRST_FORMAT, FORMAT, ModelInfo, load_model, make_network, read_info, save_model
from ssp_model.nn.methods import METHODS
from tests.helpers import GOLDEN

INFO = ModelInfo(
    structures=("tom20", "zo1"),
    method="multi_head_last",
    settings={"width": 1, "kernel": 3},
    patch=(16, 16, 32),
    voxel_size_um=(0.3, 0.2, 0.2),
    preprocess={"scale": [1, 1, 1]},
    config={},
    training={"seed": 3},
)


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    save_model(make_network(INFO.method, 2, INFO.settings), INFO, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def rewrite(path, *, weights=None, **metadata):
    """Write the file anew with something changed."""
    content = {"format": FORMAT, "info": json.dumps(vars(INFO)), **metadata}
    save_file(load_file(path) if weights is None else weights, path, content)


def test_a_model_comes_back(path):
    network, info = load_model(path)
    assert info == INFO
    assert not network.training
    x = torch.randn(1, 1, 16, 16, 16)
    torch.manual_seed(0)
    original = make_network(INFO.method, 2, INFO.settings).eval()
    assert torch.equal(network(x, torch.tensor([1])), original(x, torch.tensor([1])))


def test_statistics_of_the_training_signals_are_an_entry_of_their_own(path):
    """A reader that does not know the entry passes over it."""
    signals = {"version": 1, "measures": [{"contrast": 0.5, "axial fine": None}]}
    save_model(make_network(INFO.method, 2, INFO.settings), replace(INFO, signals=signals), path)
    assert read_info(path) == replace(INFO, signals=signals)
    with safe_open(path, framework="pt") as file:
        assert "signals" not in json.loads(file.metadata()["info"])
    rewrite(path, signals="3")
    with pytest.raises(InputError, match=r"is a damaged model file \(its entry 'signals' is 3\)"):
        read_info(path)


def test_older_model_files_have_no_statistics():
    assert read_info(GOLDEN / "models/0.1.0/model.safetensors").signals is None


def test_others_may_read_the_file(path, tmp_path):
    (tmp_path / "any").touch()
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode


def test_models_without_pixel_sizes(path):
    save_model(load_model(path)[0], replace(INFO, voxel_size_um=None), path)
    assert read_info(path).voxel_size_um is None


def test_the_first_format_knew_one_method(path, tmp_path):
    network = make_network("repmode", 2, {"width": 1})
    old = {**vars(INFO), "width": 1}
    del old["method"], old["settings"]
    rewrite(path, weights=network.state_dict(), format=FIRST_FORMAT, info=json.dumps(old))
    loaded, info = load_model(path)
    assert (info.method, info.settings) == ("repmode", {"width": 1})
    assert torch.equal(loaded.state_dict()["head.gate.weight"], network.state_dict()["head.gate.weight"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "pt"}, "is not an ssp_model model file (the format 'pt' in its metadata); give one"),
        ({"format": "ssp_model 9"}, "was written by a later version of ssp_model (format 'ssp_model 9'"),
        ({"info": "{"}, "is a damaged model file (its metadata can't be read); copy"),
        ({"info": "null"}, "is a damaged model file (its metadata has no entries); copy"),
        ({"info": "[]"}, "is a damaged model file (its metadata has no entries); copy"),
        ({"info": "3", "format": FIRST_FORMAT}, "is a damaged model file (its metadata can't be read); copy"),
        ({"info": "{}", "format": FIRST_FORMAT}, "is a damaged model file (its entry 'structures' is missing); copy"),
        (
            {"weights": {"head": torch.zeros(1)}},
            "is a damaged model file (its weights are not those of multi_head_last: Error(s) in",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(path, change, sentence):
    rewrite(path, **change)
    with pytest.raises(InputError, match=re.escape(f"{path} {sentence}")):
        load_model(path)


def test_metadata_without_entries(path):
    save_file(load_file(path), path, {"format": FORMAT})
    with pytest.raises(InputError, match=r"is a damaged model file \(its metadata has no entries\)"):
        read_info(path)


WRONG_ENTRIES = [
    ({"tomorrow": 1}, "its entry 'tomorrow' is not known here"),
    ({"structures": None}, "its entry 'structures' is None"),
    ({"structures": []}, "its entry 'structures' is []"),
    ({"structures": "tom20"}, "its entry 'structures' is 'tom20'"),
    ({"structures": ["tom20", 1]}, "its entry 'structures' is ['tom20', 1]"),
    ({"method": "tomorrow"}, "its method is 'tomorrow', known here are " + ", ".join(METHODS)),
    ({"method": ["repmode"]}, "its entry 'method' is ['repmode']"),
    ({"patch": None}, "its entry 'patch' is None"),
    ({"patch": [16, 16]}, "its entry 'patch' is [16, 16]"),
    ({"patch": "abc"}, "its entry 'patch' is 'abc'"),
    ({"patch": [16, 16, "16"]}, "its entry 'patch' is [16, 16, '16']"),
    ({"patch": [16, 16, 0]}, "its entry 'patch' is [16, 16, 0]"),
    ({"voxel_size_um": [0.3, 0.3]}, "its entry 'voxel_size_um' is [0.3, 0.3]"),
    ({"voxel_size_um": [0.3, 0.3, -1]}, "its entry 'voxel_size_um' is [0.3, 0.3, -1]"),
    ({"training": None}, "its entry 'training' is None"),
    ({"settings": None}, "its entry 'settings' is None"),
    ({"settings": [1]}, "its entry 'settings' is [1]"),
    ({"settings": {}}, "its entry 'settings.width' is missing"),
    ({"settings": {"width": 1, "dropout": 0.1}}, "multi_head_last has no setting 'dropout' here"),
    ({"settings": {"width": "1"}}, "its entry 'settings.width' is '1'"),
    ({"settings": {"width": 1.0}}, "its entry 'settings.width' is 1.0"),
    ({"settings": {"width": True}}, "its entry 'settings.width' is True"),
    ({"settings": {"width": -1}}, "its entry 'settings.width' is -1"),
    ({"settings": {"width": 1, "kernel": 4}}, "its entry 'settings.kernel' is 4"),
    (
        {"method": "repmode", "settings": {"width": 1, "experts": ["conv7"]}},
        "its entry 'settings.experts' is ['conv7']",
    ),
    ({"method": "repmode", "settings": {"width": 1, "experts": "conv5"}}, "its entry 'settings.experts' is 'conv5'"),
    ({"added": -1}, "its entry 'added' is -1"),
    ({"added": 1}, "its entry 'added' is 1"),
    ({"method": "repmode", "settings": {"width": 1}, "added": 2}, "its entry 'added' is 2"),
]


@pytest.mark.parametrize(("entries", "reason"), WRONG_ENTRIES)
def test_wrong_entries_are_damage_unless_the_file_is_newer(path, monkeypatch, entries, reason):
    monkeypatch.setattr("ssp_model.__version__", "0.9.1")
    rewrite(path, info=json.dumps(vars(INFO) | {"version": "0.9.1"} | entries))
    with pytest.raises(InputError) as damaged:
        load_model(path)
    assert str(damaged.value) == f"{path} is a damaged model file ({reason}); copy or train it again."
    rewrite(path, info=json.dumps(vars(INFO) | {"version": "0.10.0"} | entries))
    with pytest.raises(InputError) as newer:
        load_model(path)
    assert str(newer.value) == (
        f"{path} was written by a later version of ssp_model, 0.10.0 (here is 0.9.1, and {reason}); "
        "install that version to use it."
    )


@pytest.mark.parametrize("version", ["0.0.99", "soon", "", None, 9])
def test_only_a_later_version_is_named(path, version):
    rewrite(path, info=json.dumps(vars(INFO) | {"version": version, "patch": None}))
    with pytest.raises(InputError, match="is a damaged model file"):
        read_info(path)


def test_a_later_version_that_changed_nothing_here_opens(path):
    rewrite(path, info=json.dumps(vars(INFO) | {"version": "999.0"}))
    assert load_model(path)[1] == replace(INFO, version="999.0")


def test_settings_stay_as_the_file_has_them(path):
    network = make_network("multi_head_last", 2, {"width": 1})
    rewrite(path, weights=network.state_dict(), info=json.dumps(vars(INFO) | {"settings": {"width": 1}}))
    assert load_model(path)[1].settings == {"width": 1}


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04no")
    with pytest.raises(InputError, match="can't be read as a model file"):
        load_model(tmp_path / "pickle.safetensors")
    with pytest.raises(InputError, match="can't be read as a model file"):
        load_model(tmp_path / "missing.safetensors")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match=rf"^{path} is not a file; give a model.safetensors"):
            load_model(path)
    with pytest.raises(InputError, match="is not an ssp_model model file .no format entry in its metadata"):
        load_model(tmp_path / "other.safetensors")


def test_an_unknown_structure():
    with pytest.raises(InputError, match="does not predict 'dna'; it predicts tom20, zo1"):
        INFO.task("dna")
