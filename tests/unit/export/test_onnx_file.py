import json
import re

import numpy as np
import onnx
import pytest
import torch

from ssp_model.errors import InputError
from ssp_model.export.onnx_file import OPSET, OnnxNetwork, check_onnx, metadata_of, standardise, write_onnx
from tests.helpers import random_network
from tests.unit.export.examples import info_of


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    network = random_network("repmode", 3, seed=1, width=4)
    networks = {"dna": network.specialise(0), "zo1": network.specialise(2)}
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert write_onnx(networks, path, metadata_of(info_of("repmode"), list(networks), "0" * 64)) == [path]
    return networks, path


def test_an_output_for_each_structure(exported):
    session = OnnxNetwork(exported[1]).session
    assert [output.name for output in session.get_outputs()] == ["dna", "zo1"]
    assert [tensor.name for tensor in session.get_inputs()] == ["signal"]
    assert onnx.load(exported[1]).opset_import[0].version == OPSET


def test_the_file_says_what_belongs_around_the_network(exported):
    said = OnnxNetwork(exported[1]).session.get_modelmeta().custom_metadata_map
    assert json.loads(said["ssp_model.voxel_size_um_zyx"]) == [0.29, 0.29, 0.29]
    assert json.loads(said["ssp_model.window_zyx"]) == [16, 32, 48]
    assert "subtract its mean" in said["ssp_model.preprocessing"]
    assert said["ssp_model.model_sha256"] == "0" * 64


def test_a_file_that_predicts_something_else_is_refused(exported):
    networks, path = exported
    x = np.random.default_rng(0).normal(size=(1, 1, 16, 16, 32)).astype(np.float32)
    assert check_onnx(path, networks, x) < 1e-5
    swapped = {"dna": networks["zo1"], "zo1": networks["dna"]}
    with pytest.raises(InputError, match=re.escape("predictions of dna differ by")):
        check_onnx(path, swapped, x)


def test_a_model_that_predicts_no_numbers_is_not_blamed_on_onnx_runtime(exported):
    networks, path = exported
    damaged = networks | {"dna": lambda x: torch.full_like(x, torch.nan)}
    with pytest.raises(InputError, match="The model predicts values of dna that are not finite numbers"):
        check_onnx(path, damaged, np.ones((1, 1, 16, 16, 16), np.float32))


def test_weights_that_are_too_large_lie_in_a_second_file(tmp_path, monkeypatch):
    monkeypatch.setattr("ssp_model.export.onnx_file.MOST_BYTES", 10_000)
    networks = {"dna": random_network("multi_net", 1, seed=1, width=4).specialise(0)}
    files = write_onnx(networks, tmp_path / "model.onnx", {})
    assert [file.name for file in files] == ["model.onnx", "model.onnx.data"]
    assert files[0].stat().st_size < files[1].stat().st_size
    check_onnx(files[0], networks, torch.randn(1, 1, 16, 16, 16).numpy())


def test_standardised():
    raw = np.random.default_rng(0).normal(1000, 50, (16, 16, 16)).astype(np.float32)
    assert standardise(raw).mean() == pytest.approx(0, abs=1e-5)
    assert standardise(raw).std() == pytest.approx(1, abs=1e-5)
