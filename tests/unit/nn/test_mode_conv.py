"""Merging experts into kernels: any set of experts, gradients, voxels that only meet padding."""

import pytest
import torch
import torch.nn.functional as F

from ssp_model.nn.mode_conv import EXPERTS, SIZE, Mixture, MoDEConv3d, TaskGroups, reach

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


@pytest.mark.parametrize("mixture", [Mixture(), Mixture(gate_layers=2), Mixture(codes=torch.ones(2, 12))])
@torch.no_grad()
def test_gates_do_not_depend_on_where_weights_lie_in_memory(mixture):
    torch.manual_seed(0)
    conv = MoDEConv3d(2, 1, 512, mixture)
    wanted = conv.gates(torch.tensor([1]))
    assert torch.equal(conv.gates(torch.tensor([0, 1]))[1:], wanted)
    for shift in range(1, 16):
        for parameter in conv.gate.parameters():
            memory = torch.empty(parameter.numel() + 16)[shift : shift + parameter.numel()]
            parameter.data = memory.view(parameter.shape).copy_(parameter)
        assert torch.equal(conv.gates(torch.tensor([1])), wanted)
