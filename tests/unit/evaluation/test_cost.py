"""What a trained model costs."""

import pandas as pd
import pytest
import torch

from ssp_model.errors import InputError
from ssp_model.evaluation.cost import measure_cost
from ssp_model.models.model_file import ModelInfo, make_network, save_model
from ssp_model.nn.methods import METHODS

PATCH = (16, 32, 48)
WIDTH = 2


@pytest.fixture
def cost(tmp_path):
    """Measures an untrained model of a method."""

    def measure(method, **settings):
        info = ModelInfo(
            structures=("dna", "tom20", "zo1"),
            method=method,
            settings={"width": WIDTH, **settings},
            patch=PATCH,
            voxel_size_um=None,
            preprocess={},
            config={},
            training={},
        )
        save_model(make_network(method, 3, info.settings), info, tmp_path / "model.safetensors")
        measure_cost(tmp_path / "model.safetensors", tmp_path / "cost.csv", "float32", experiment="007")
        (row,) = pd.read_csv(tmp_path / "cost.csv", dtype={"experiment": str}).to_dict("records")
        return row

    return measure


def unet_gmac(kernel):
    """Arithmetic of the plain U-Net for a patch, by hand."""
    voxels = PATCH[0] * PATCH[1] * PATCH[2]
    cubes = 0
    for level in range(4):
        c, at = WIDTH * 2**level, voxels / 8**level
        entering = 1 if level == 0 else c // 2
        encoder = entering * c + c * c
        decoder = 2 * c * c + c * c
        cubes += at * (encoder + decoder) * kernel**3
        # halving and doubling: eight voxels of the larger grid for one of the smaller
        cubes += (at / 8) * 8 * (c * c + 2 * c * c)
    deepest = 16 * WIDTH
    cubes += voxels / 8**4 * (deepest // 2 * deepest + deepest**2) * kernel**3
    return (cubes + voxels * WIDTH * kernel**3) / 1e9


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_its_costs(cost, method):
    row = cost(method)
    assert list(row) == [
        "experiment",
        "method",
        "title",
        "parameters",
        "gmac_training",
        "gmac_prediction",
        "predict_s",
        "predict_mib",
        "device",
        "precision",
    ]
    assert row["experiment"] == "007"
    assert row["method"] == method
    assert row["title"] == make_network(method, 1, {"width": 1}).title
    assert row["parameters"] == sum(p.numel() for p in make_network(method, 3, {"width": WIDTH}).parameters())
    assert 0.5 * unet_gmac(5) < row["gmac_prediction"] < 1.5 * unet_gmac(5)
    assert 0.5 * unet_gmac(5) < row["gmac_training"] < 1.5 * unet_gmac(5)
    assert row["predict_s"] > 0
    # at least the deepest features, and not the whole machine
    assert 4 * WIDTH * 16 * 32 * 48 / 2**20 < row["predict_mib"] < 100
    assert row["precision"] == "float32"
    if not torch.cuda.is_available():
        assert row["device"].startswith("CPU")


@pytest.mark.parametrize("kernel", [3, 5])
def test_arithmetic_is_that_of_the_layers(cost, kernel):
    row = cost("multi_net", kernel=kernel)
    # parameters are those of all structures, arithmetic is that of one
    assert row["gmac_training"] == row["gmac_prediction"] == pytest.approx(unet_gmac(kernel))


def test_a_precision_that_is_not_known_is_refused(model, tmp_path):
    with pytest.raises(InputError, match="precision 'fp8' is not known"):
        measure_cost(model, tmp_path / "cost.csv", "fp8", experiment="a")
