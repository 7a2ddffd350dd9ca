"""Model files: what was written is read, and what can't be used is refused in one sentence."""

import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssp_model.errors import InputError
from ssp_model.models.model_file import FIRST_FORMAT, FORMAT, ModelInfo, load_model, make_network, read_info, save_model

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
        ({"info": "{"}, "is a damaged model file (JSONDecodeError("),
        (
            {"info": json.dumps({"structures": ["tom20"]})},
            "is a damaged model file (KeyError('patch') in its metadata)",
        ),
        ({"info": json.dumps(vars(INFO) | {"method": "tomorrow"})}, "is of the method 'tomorrow', which this version"),
        (
            {"weights": {"head": torch.zeros(1)}},
            "is damaged: its weights are not those of multi_head_last (Error(s) in",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(path, change, sentence):
    rewrite(path, **change)
    with pytest.raises(InputError, match=re.escape(f"{path} {sentence}")):
        load_model(path)


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04no")
    with pytest.raises(InputError, match="can't be read as a model file"):
        load_model(tmp_path / "pickle.safetensors")
    with pytest.raises(InputError, match="can't be read as a model file"):
        load_model(tmp_path / "missing.safetensors")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is not an ssp_model model file .no format entry in its metadata"):
        load_model(tmp_path / "other.safetensors")


def test_an_unknown_structure():
    with pytest.raises(InputError, match="does not predict 'dna'; it predicts tom20, zo1"):
        INFO.task("dna")
