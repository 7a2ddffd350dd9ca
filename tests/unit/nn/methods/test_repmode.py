"""The network against the numbers of the published one; its ablations; its new experts for added tasks.

What RepMode shares with all methods, also as an ablation and extended, is in test_method.py.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssp_model.config.ablations import ABLATIONS
from ssp_model.figures.training import plot_gates
from ssp_model.models.authors import rename, state_dict_from_published
from ssp_model.models.model_file import make_network
from ssp_model.nn.conv import convolve
from ssp_model.nn.methods.repmode import MoDEBlock, RepMode
from ssp_model.nn.mode_conv import Mixture, MoDEConv3d, TaskGroups
from tests.helpers import random_network

RELATIVE = 1e-5


def assert_close(actual: torch.Tensor, golden: np.ndarray) -> None:
    """Root-mean-square error relative to the golden array's root mean square.

    The golden float32 run is itself up to 1.0e-5 from the same network in float64, measured this way.
    """
    golden = golden.astype(np.float64)
    error = np.linalg.norm(actual.detach().numpy() - golden) / np.linalg.norm(golden)
    assert error <= RELATIVE, f"off by {error:.2e}"


def parameters(vectors: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(value) for name, value in vectors.items() if name.startswith(prefix)
    }


@pytest.fixture
def block_and_vectors(golden):
    vectors = golden("mode_conv.npz")
    block = MoDEBlock(num_tasks=3, in_channels=2, out_channels=4, mixture=Mixture())
    # the vectors hold one convolution: give its parameters the name of the first of a level
    published = {f"bottle_block.conv1.{name}": v for name, v in parameters(vectors, "param/").items()}
    state = state_dict_from_published(published)
    block.load_state_dict({name.removeprefix("bottleneck.block1."): v for name, v in state.items()})
    return block, vectors


def sorted_batch(vectors):
    task = torch.from_numpy(vectors["task"])
    order = torch.argsort(task, stable=True)
    tasks_T, counts = torch.unique_consecutive(task[order], return_counts=True)
    return order, TaskGroups(tasks_T, tuple(counts.tolist()))


def test_gates_and_merged_kernels(block_and_vectors):
    block, vectors = block_and_vectors
    tasks_T = torch.arange(3)
    assert_close(block.conv.gates(tasks_T), vectors["gate"])
    assert_close(torch.stack(block.conv.kernels(tasks_T)), vectors["merged_kernel"])


def test_mode_conv_training(block_and_vectors):
    block, vectors = block_and_vectors
    order, groups = sorted_batch(vectors)
    x = torch.from_numpy(vectors["x"]).requires_grad_()
    y = block(x[order], groups)[torch.argsort(order)]
    loss = y.square().mean()
    loss.backward()

    assert_close(y, vectors["train_y"])
    assert loss.item() == pytest.approx(float(vectors["loss"]), rel=1e-6)
    assert_close(x.grad, vectors["grad_x"])
    assert_close(block.norm.running_mean, vectors["after/subsequent_layer.0.running_mean"])
    assert_close(block.norm.running_var, vectors["after/subsequent_layer.0.running_var"])
    gradients = {f"bottle_block.conv1.{n}": g for n, g in parameters(vectors, "grad/").items()}
    ours = dict(block.named_parameters())
    assert len(gradients) == len(ours)
    for name, gradient in gradients.items():
        assert_close(ours[rename(name).removeprefix("bottleneck.block1.")].grad, gradient.numpy())


@pytest.mark.parametrize("task", range(3))
def test_mode_conv_evaluation(block_and_vectors, task):
    block, vectors = block_and_vectors
    x = torch.from_numpy(vectors["x"])
    # the vectors' evaluation comes after their training step
    block.norm.running_mean.copy_(torch.from_numpy(vectors["after/subsequent_layer.0.running_mean"]))
    block.norm.running_var.copy_(torch.from_numpy(vectors["after/subsequent_layer.0.running_var"]))
    y = block.eval()(x, TaskGroups(torch.tensor([task]), (len(x),)))
    assert_close(y, vectors[f"eval_y/task{task}"])


@pytest.fixture
def network_and_vectors(golden):
    vectors = golden("repmode_tiny.npz")
    network = RepMode(num_tasks=3, width=2)
    network.load_state_dict(state_dict_from_published(parameters(vectors, "param/")))
    return network, vectors


def test_network_evaluation(network_and_vectors):
    network, vectors = network_and_vectors
    x = torch.from_numpy(vectors["x"])
    network.eval()
    for task in range(3):
        y = network(x, torch.full((len(x),), task))
        assert_close(y, vectors[f"eval_out/task{task}"])


def test_network_evaluates_mixed_batches(network_and_vectors):
    network, vectors = network_and_vectors
    x = torch.from_numpy(vectors["x"])
    y = network.eval()(x, torch.tensor([2, 0, 1]))
    golden = np.stack([vectors[f"eval_out/task{task}"][i] for i, task in enumerate([2, 0, 1])])
    assert_close(y, golden)


def test_network_training(network_and_vectors):
    network, vectors = network_and_vectors
    x, y, task = (torch.from_numpy(vectors[key]) for key in ("x", "y", "task"))
    prediction = network(x, task)
    F.mse_loss(prediction, y).backward()

    assert_close(prediction, vectors["train_out"])
    ours = dict(network.named_parameters())
    gradients = parameters(vectors, "grad/")
    assert len(gradients) == len(ours)
    for name, gradient in gradients.items():
        assert_close(ours[rename(name)].grad, gradient.numpy())


@pytest.mark.parametrize(
    ("dtype", "relative"),
    [
        # in float32 a change of one thread or of the memory layout moves the later losses by 1e-5 to 2e-4: where a
        # gradient is all but zero, rounding decides the sign of Adam's step
        (torch.float32, [1e-5, 1e-5, 1e-4, 1e-3, 1e-3]),
        # float64 tells how far the golden float32 run itself has strayed by then
        (torch.float64, [1e-6, 1e-6, 1e-6, 1e-6, 2e-5]),
    ],
)
def test_network_five_adam_steps(network_and_vectors, dtype, relative):
    network, vectors = network_and_vectors
    network.to(dtype)
    x, y, task = (torch.from_numpy(vectors[key]) for key in ("x", "y", "task"))
    x, y = x.to(dtype), y.to(dtype)
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)
    for wanted, tolerance in zip(vectors["adam_losses"], relative, strict=True):
        loss = F.mse_loss(network(x, task), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        assert loss.item() == pytest.approx(wanted, rel=tolerance)
    after = network.eval()(x, torch.full((len(x),), 2))
    wanted = vectors["eval_out_after/task2"]
    assert np.linalg.norm(after.detach().numpy() - wanted) < 1e-3 * np.linalg.norm(wanted)


def test_published_size():
    with torch.device("meta"):
        network = RepMode(num_tasks=12)
    assert sum(parameter.numel() for parameter in network.parameters()) == 123_877_633


@pytest.mark.parametrize("planes", [1, 2, 3, 4, 5, 8])
def test_bf16_gradients_follow_float32(planes):
    """oneDNN's own padding gives wrong weight gradients in bf16 for fewer planes than the kernel has."""
    torch.manual_seed(0)
    x, kernel = torch.randn(2, 16, planes, 8, 8), torch.randn(16, 16, 5, 5, 5)
    y_grad = torch.randn(2, 16, planes, 8, 8)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [tensor.to(dtype).requires_grad_() for tensor in (x, kernel)]
        gradients.append(torch.autograd.grad(convolve(*inputs), inputs, y_grad.to(dtype)))
    for wanted, found in zip(*gradients, strict=True):
        # a CPU without units for bf16 rounds more often: 1.1% there
        assert (found.float() - wanted).norm() < 0.02 * wanted.norm()


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


def test_the_published_network_gets_an_expert_and_a_gate_in_each_convolution():
    with torch.device("meta"):
        network = make_network("repmode", 14, {}, added=2)
    numbers = dict.fromkeys(("added_gates.0", "added_gates.1", "added_experts.0", "added_experts.1"), 0)
    for name, parameter in network.named_parameters():
        for part in numbers:
            numbers[part] += name.endswith(part) * parameter.numel()
    assert list(numbers.values()) == [17_670] * 2 + [21_180_096] * 2
    assert sum(parameter.numel() for parameter in network.parameters()) == 123_877_633 + 2 * (17_670 + 21_180_096)


def test_a_new_task_uses_all_experts_alike_at_first():
    torch.manual_seed(0)
    conv = make_network("repmode", 3, {"width": 4}, added=1).bottleneck.block2.conv
    assert not conv.added_gates[0].any()
    wanted = (
        conv.experts["conv5"]
        + F.pad(conv.experts["conv3"] + conv.added_experts[0] + conv.experts["pool3"] / 27, (1,) * 6)
        + F.pad(conv.experts["conv1"], (2,) * 6)
        + conv.experts["pool5"] / 125
    ) / 6
    torch.testing.assert_close(conv.kernels(torch.tensor([2]))[0], wanted)
    # uniform up to one over the square root of a kernel's inputs, as convolutions of torch
    bound = (64 * 27) ** -0.5
    assert bound * 0.99 < conv.added_experts[0].abs().max() <= bound


@pytest.mark.parametrize("own", [{}, {"gate": "sigmoid"}, {"mode_in": "encoder"}])
def test_the_report_draws_new_experts_as_columns(own):
    gates = make_network("repmode", 4, {"width": 1, **own}, added=2).inspect()["gates"]
    assert gates["experts"] == ("conv5", "conv3", "conv1", "pool3", "pool5", "new conv3", "new conv3_2")
    assert len(gates["weights"]) == (10 if "mode_in" in own else 19)
    for usage in gates["weights"].values():
        assert usage.shape == (4, 7)
        assert (usage[:, 5:] != 0).tolist() == [[False, False], [False, False], [True, False], [False, True]]
        if "gate" in own:
            assert usage[2:].sum(axis=1) == pytest.approx(6 / 2)
        else:
            assert usage.sum(axis=1) == pytest.approx(1, abs=1e-5)
    figure = plot_gates(gates["weights"], gates["experts"], ["tom20", "zo1", "dna", "fibrillarin"])
    last = figure.axes[len(gates["weights"]) - 1]
    assert [tick.get_text() for tick in last.get_xticklabels()] == list(gates["experts"])
