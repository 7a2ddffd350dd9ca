"""The network against the numbers of the published one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssp_model.models.authors import rename, state_dict_from_published
from ssp_model.nn.conv import convolve
from ssp_model.nn.methods.repmode import MoDEBlock, RepMode
from ssp_model.nn.mode_conv import EXPERTS, SIZE, Mixture, MoDEConv3d, TaskGroups, reach

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


EXPERT_SETS = [
    EXPERTS,
    ("pool5", "conv1", "conv3", "pool3", "conv5"),
    ("conv5", "conv3", "conv1", "pool1", "pool1"),
    ("conv5", "conv3", "conv1", "pool3", "pool3"),
    ("conv5", "conv1", "pool5", "pool5"),
    ("conv3", "conv1", "pool3"),
    ("pool3", "pool5"),
    ("pool5", "conv3"),
    ("pool3", "conv1", "pool1"),
    ("conv1", "conv1"),
    ("pool1",),
]
"""Sets with all there is of a size, and without: convolutions, averages, smaller ones, several of a kind."""


def by_definition(kinds, experts, gates_EO):
    """The kernel of a task, (O, I, D, H, W): experts of full size, weighted and summed."""
    largest = max(SIZE[kind] for kind in kinds)
    total = torch.zeros(())
    for kind, expert, gate_O in zip(kinds, experts, gates_EO, strict=True):
        size = SIZE[kind]
        whole = expert.expand(*expert.shape[:2], size, size, size) / size**3 if kind.startswith("pool") else expert
        total = total + gate_O[:, None, None, None, None] * F.pad(whole, ((largest - size) // 2,) * 6)
    return total


@pytest.mark.parametrize("kinds", EXPERT_SETS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@torch.no_grad()
def test_kernels_are_the_sum_of_the_experts(kinds, layout):
    torch.manual_seed(0)
    conv = MoDEConv3d(2, 3, 4, Mixture(kinds)).double()
    conv.extend()
    conv.extend()
    for gate in conv.added_gates:
        torch.nn.init.normal_(gate)
    conv.to(memory_format=layout)
    names = [f"{kind}_{kinds[:place].count(kind) + 1}".removesuffix("_1") for place, kind in enumerate(kinds)]
    experts = [conv.experts[name] for name in names]
    logits = (conv.gate.weight.t() + conv.gate.bias).view(2, len(kinds), 4)
    wanted = [by_definition(kinds, experts, logits[task].softmax(0)) for task in range(2)]
    wanted += [
        by_definition((*kinds, "conv3"), [*experts, new], gate.softmax(0))
        for new, gate in zip(conv.added_experts, conv.added_gates, strict=True)
    ]
    for tasks in ([0, 1, 2, 3], [1, 3], [2], [0]):
        for task, kernel in zip(tasks, conv.kernels(torch.tensor(tasks), torch.float64), strict=True):
            torch.testing.assert_close(kernel, wanted[task])


@pytest.mark.parametrize("kinds", EXPERT_SETS)
@pytest.mark.parametrize("reached", [(2, 2, 2), (1, 2, 2), (0, 1, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_merging_gradients(kinds, reached, layout):
    torch.manual_seed(0)
    conv = MoDEConv3d(2, 2, 2, Mixture(kinds)).double()
    conv.extend()
    conv.to(memory_format=layout)
    inputs = [conv.gate.weight, *conv.experts.values(), *conv.added_experts, *conv.added_gates]

    def kernels(*_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return conv.kernels(torch.tensor([0, 1, 2]), torch.float64, reached)

    assert torch.autograd.gradcheck(kernels, inputs, fast_mode=kinds != EXPERTS)


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 5, 3), (3, 1, 6), (8, 8, 8)])
def test_kernels_leave_out_what_meets_padding_only(shape):
    torch.manual_seed(0)
    conv = MoDEConv3d(num_tasks=2, in_channels=3, out_channels=4).double()
    x = torch.randn(2, 3, *shape, dtype=torch.float64)
    whole = conv.kernels(torch.tensor([0, 1]), torch.float64)
    expected = torch.cat([F.conv3d(x[i : i + 1], whole[i], padding=2) for i in range(2)])
    cropped = conv.kernels(torch.tensor([0]), torch.float64, reach(x))[0]
    assert cropped.shape[2:] == tuple(min(2 * size - 1, 5) for size in shape)
    torch.testing.assert_close(conv(x, TaskGroups(torch.tensor([0, 1]), (1, 1))), expected)
