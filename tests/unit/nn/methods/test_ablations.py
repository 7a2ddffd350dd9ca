"""RepMode's ablations: their size, experts and gates. What they share with all methods is in test_method.py."""

import pytest
import torch

from ssp_model.config.ablations import ABLATIONS
from ssp_model.models.model_file import make_network
from ssp_model.nn.mode_conv import MoDEConv3d
from tests.helpers import random_network

every_ablation = pytest.mark.parametrize("ablation", ABLATIONS)

# channels in and out of the convolutions at width 32: two a level
ENCODER = [(1, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
BOTTLENECK = [(256, 512), (512, 512)]
DECODER = [(512, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64), (64, 32), (32, 32)]
HEAD = [(32, 1)]
LEVELS = [32, 64, 128, 256]
# halving and doubling the resolution: 2^3 kernels and batch norms
BETWEEN = sum(8 * c * c + 2 * c for c in LEVELS) + sum(8 * 2 * c * c + 2 * c for c in LEVELS)

NUM_TASKS = 12
PUBLISHED = (5**3 + 3**3 + 3, 5)
EXPERTS = {
    "without_1": (5**3 + 3**3 + 2, 4),
    "without_3": (5**3 + 2, 3),
    "without_5": (3**3 + 2, 3),
    "without_conv": (2, 2),
    "without_pool": (5**3 + 3**3 + 1, 3),
}
"""Voxels of all kernels of the experts, and number of experts, where they are not as published."""


def mode_parameters(convs, ablation):
    """Parameters of MoDE convolutions: experts and gates."""
    voxels, num_experts = EXPERTS.get(ablation, PUBLISHED)

    def gate(num_weights):
        if ablation == "two_layer_gate":
            return (NUM_TASKS + 1) * 64 + (64 + 1) * num_weights
        return (NUM_TASKS + 1) * num_weights

    return sum(voxels * c_in * c_out + gate(num_experts * c_out) for c_in, c_out in convs)


def plain_parameters(convs):
    return sum(5**3 * c_in * c_out for c_in, c_out in convs)


def parameters_by_hand(ablation):
    encoder, decoder = ENCODER + BOTTLENECK, DECODER + HEAD
    norms = sum(2 * c_out for _, c_out in ENCODER + BOTTLENECK + DECODER)
    if ablation == "decoder_only":
        return plain_parameters(encoder) + mode_parameters(decoder, ablation) + norms + BETWEEN
    if ablation == "encoder_only":
        return mode_parameters(encoder, ablation) + plain_parameters(decoder) + norms + BETWEEN
    return mode_parameters(encoder + decoder, ablation) + norms + BETWEEN


def test_the_count_by_hand_is_that_of_the_published_network():
    assert parameters_by_hand("repmode") == 123_877_633


@every_ablation
def test_parameters(ablation):
    with torch.device("meta"):
        network = make_network("repmode", NUM_TASKS, ABLATIONS[ablation].settings)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters_by_hand(ablation)


@every_ablation
def test_kernels_of_the_plain_network_are_as_large_as_the_largest_expert(ablation):
    unet = random_network("repmode", 2, 0, width=1, **ABLATIONS[ablation].settings).specialise(1)
    sizes = {unet.head.weight.shape[2:]}
    for level in (*unet.encoder.levels, unet.encoder.bottleneck, *unet.decoder.levels):
        sizes |= {level.block1.conv.weight.shape[2:], level.block2.conv.weight.shape[2:]}
    assert sizes == {(3, 3, 3) if ablation == "without_5" else (5, 5, 5)}


@every_ablation
@torch.no_grad()
def test_tasks_differ_and_gates_sum_to_one(ablation):
    network = random_network("repmode", 3, 0, width=2, **ABLATIONS[ablation].settings)
    x = torch.randn(1, 1, 16, 16, 16)
    assert not torch.allclose(network(x, torch.tensor([0])), network(x, torch.tensor([2])))
    gates = network.inspect()["gates"]
    for usage in gates["weights"].values():
        assert usage.shape == (3, len(gates["experts"]))
        assert (usage.sum(axis=1) == pytest.approx(1, abs=1e-5)) == (ablation != "sigmoid_gate")
    for conv in (module for module in network.modules() if isinstance(module, MoDEConv3d)):
        gates_TEO = conv.gates(torch.arange(3))
        assert gates_TEO.min() > 0
        assert gates_TEO.max() < 1
        if ablation != "sigmoid_gate":
            torch.testing.assert_close(gates_TEO.sum(1), torch.ones(3, conv.out_channels))


def test_where_the_convolutions_are_mode():
    names = {
        ablation: list(make_network("repmode", 2, {"width": 1, **ABLATIONS[ablation].settings}).mode_convs())
        for ablation in ("encoder_only", "decoder_only", "pool_3")
    }
    assert (names["encoder_only"][0], names["encoder_only"][-1]) == ("encoder 1, conv 1", "bottleneck, conv 2")
    assert (names["decoder_only"][0], names["decoder_only"][-1]) == ("decoder 4, conv 1", "head")
    assert names["encoder_only"] + names["decoder_only"] == names["pool_3"]


def test_a_second_expert_of_a_kind_has_a_name_of_its_own():
    network = make_network("repmode", 2, {"width": 1, **ABLATIONS["pool_3"].settings})
    assert network.inspect()["gates"]["experts"] == ("conv5", "conv3", "conv1", "pool3", "pool3_2")
    assert {"head.experts.pool3", "head.experts.pool3_2"} <= network.state_dict().keys()


def test_a_sigmoid_gate_is_the_sigmoid_of_the_logits():
    conv = make_network("repmode", 3, {"width": 1, "gate": "sigmoid"}).head
    logits = (conv.gate.weight.t() + conv.gate.bias).view(3, 5, 1)
    torch.testing.assert_close(conv.gates(torch.arange(3)), 1 / (1 + (-logits).exp()))


def test_a_gate_of_two_layers_is_computed_in_float32():
    conv = make_network("repmode", 3, {"width": 1, "gate_layers": 2}).bottleneck.block1.conv
    first, _, second = conv.gate
    hidden = (first.weight.t() + first.bias).clamp(min=0)
    logits = (hidden @ second.weight.t() + second.bias).view(3, 5, 16)
    with torch.autocast("cpu", torch.bfloat16):
        gates = conv.gates(torch.arange(3))
    assert gates.dtype is torch.float32
    torch.testing.assert_close(gates, logits.softmax(1))


def test_gaussian_codes_are_random_fixed_and_stored():
    torch.manual_seed(0)
    network = make_network("repmode", 12, {"width": 1, "task_embedding": "gaussian"})
    state = {name: value for name, value in network.state_dict().items() if name.endswith(".codes")}
    codes = state["head.codes"]
    assert len(state) == 19
    assert all(torch.equal(codes, other) for other in state.values())
    assert codes.shape == (12, 12)
    assert (codes.mean().abs() < 0.3, 0.8 < codes.std() < 1.2) == (True, True)
    assert codes.unique(dim=0).shape == codes.shape
    assert not any(name.endswith("codes") for name, _ in network.named_parameters())
    gate = network.head.gate
    wanted = (codes @ gate.weight.t() + gate.bias).view(12, 5, 1).softmax(1)
    torch.testing.assert_close(network.head.gates(torch.arange(12)), wanted)


def test_one_hot_codes_are_not_stored():
    assert not any("codes" in name for name in make_network("repmode", 2, {"width": 1}).state_dict())
