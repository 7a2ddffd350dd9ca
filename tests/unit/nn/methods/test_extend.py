"""Methods that can be extended by a task: what was learnt before stays the same to the bit, only what is new learns."""

import copy

import pytest
import torch
from torch import nn

from ssp_model.config.ablations import ABLATIONS
from ssp_model.figures.training import plot_gates
from ssp_model.models.model_file import ModelInfo, load_model, make_network, save_model
from ssp_model.nn.batch_norm import synchronise_batch_norm
from ssp_model.nn.methods import METHODS, method_class

EXTENDABLE = [
    ("repmode", {}),
    *(("repmode", ablation.settings) for ablation in ABLATIONS.values()),
    ("multi_head_decoder", {"kernel": 3}),
]
every_extendable = pytest.mark.parametrize(("method", "own"), EXTENDABLE)


def trained_network(method, own, *, added=0):
    """A network of two tasks and the added ones, with batch norms that have seen data: no part of it is dead."""
    torch.manual_seed(0)
    network = make_network(method, 2, {"width": 4, **own})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1
    network(torch.randn(4, 1, 16, 32, 32), torch.tensor([0, 1, 0, 1]))
    for _ in range(added):
        network.extend()
        learn(network)
    return network.eval()


def outputs(network, num_tasks, *, bf16=False):
    """What a network and its plain networks predict for each task."""
    torch.manual_seed(0)
    x = torch.randn(2, 1, 16, 16, 32)
    network.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return [(network(x, torch.full((2,), task)), network.specialise(task)(x).clone()) for task in range(num_tasks)]


def learn(network, *, bf16=False):
    """Three steps on the last task."""
    torch.manual_seed(1)
    network.train()
    adam = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        x, y = torch.randn(2, 2, 1, 16, 32, 16)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            prediction = network(x, torch.full((2,), network.num_tasks - 1))
        adam.zero_grad()
        (prediction - y).square().mean().backward()
        adam.step()


def same(before, after):
    pairs = zip(sum(before, ()), sum(after, ()), strict=True)
    return [torch.equal(old, new) for old, new in pairs]


@every_extendable
@pytest.mark.parametrize("bf16", [False, True])
def test_tasks_before_stay_the_same_to_the_bit(method, own, bf16):
    network = trained_network(method, own)
    before, state = outputs(network, 2, bf16=bf16), copy.deepcopy(network.state_dict())
    for num_tasks in (3, 4):
        network.extend()
        assert network.num_tasks == num_tasks
        untrained = outputs(network, num_tasks, bf16=bf16)
        learn(network, bf16=bf16)
        trained = outputs(network, num_tasks, bf16=bf16)
        assert same(before, trained[:-1]) == [True] * 2 * (num_tasks - 1)
        assert same(untrained[-1:], trained[-1:]) == [False] * 2
        assert all(torch.equal(value, network.state_dict()[name]) for name, value in state.items())
        before, state = trained, copy.deepcopy(network.state_dict())


@every_extendable
def test_only_what_is_new_learns_and_all_of_it(method, own):
    network = trained_network(method, own).train()
    for number in range(2):
        old = set(network.state_dict())
        network.zero_grad()
        network.extend()
        # a new decoder has batch norms of its own
        norms = {f"{name}.weight": m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm3d)}
        assert {name for name, norm in norms.items() if norm.training} == norms.keys() - old
        learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
        assert learning.keys() == {name for name, _ in network.named_parameters()} - old
        network(torch.randn(2, 1, 16, 32, 32), torch.full((2,), 2 + number)).square().mean().backward()
        assert [name for name, p in learning.items() if p.grad is None or not p.grad.any()] == []
        assert [name for name, p in network.named_parameters() if p.grad is not None and name in old] == []


@every_extendable
def test_old_and_new_tasks_may_share_a_batch(method, own):
    network = trained_network(method, own, added=2).requires_grad_(False)
    x = torch.randn(5, 1, 16, 16, 32)
    tasks = torch.tensor([3, 0, 2, 3, 1])
    together = network(x, tasks)
    for number, task in enumerate(tasks):
        alone = network(x[number : number + 1], task[None])[0]
        assert (together[number] - alone).norm() <= 1e-5 * together.norm()
        plain = network.specialise(int(task))(x[number : number + 1])[0]
        assert (together[number] - plain).norm() <= 1e-5 * together.norm()


@every_extendable
def test_a_model_file_holds_an_extended_network(method, own, tmp_path):
    network = trained_network(method, own, added=2)
    info = ModelInfo(
        structures=("tom20", "zo1", "dna", "fibrillarin"),
        method=method,
        settings={"width": 4, **own},
        patch=(16, 16, 16),
        voxel_size_um=None,
        preprocess={},
        config={},
        training={},
        added=2,
    )
    save_model(network, info, tmp_path / "model.safetensors")
    loaded, read = load_model(tmp_path / "model.safetensors")
    assert (read.added, read.structures) == (2, info.structures)
    assert same(outputs(network, 4), outputs(loaded, 4)) == [True] * 8
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in network.parameters()]


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
    network = trained_network("repmode", {})
    network.extend()
    conv = network.bottleneck.block2.conv
    wanted = (
        conv.experts["conv5"]
        + nn.functional.pad(conv.experts["conv3"] + conv.added_experts[0] + conv.experts["pool3"] / 27, (1,) * 6)
        + nn.functional.pad(conv.experts["conv1"], (2,) * 6)
        + conv.experts["pool5"] / 125
    ) / 6
    torch.testing.assert_close(conv.kernels(torch.tensor([2]))[0], wanted)
    # uniform up to one over the square root of a kernel's inputs, as convolutions of torch
    bound = (64 * 27) ** -0.5
    assert bound * 0.99 < conv.added_experts[0].abs().max() <= bound


@pytest.mark.parametrize("own", [{}, {"gate": "sigmoid"}, {"mode_in": "encoder"}])
def test_the_report_draws_new_experts_as_columns(own):
    network = trained_network("repmode", own, added=2)
    gates = network.inspect()["gates"]
    assert gates["experts"] == ("conv5", "conv3", "conv1", "pool3", "pool5", "new conv3", "new conv3_2")
    assert len(gates["weights"]) == (10 if "mode_in" in own else 19)
    for usage in gates["weights"].values():
        assert usage.shape == (4, 7)
        assert (usage[:, 5:] != 0).tolist() == [[False, False], [False, False], [True, False], [False, True]]
        if "gate" not in own:
            assert usage.sum(axis=1) == pytest.approx(1, abs=1e-5)
    figure = plot_gates(gates["weights"], gates["experts"], ["tom20", "zo1", "dna", "fibrillarin"])
    last = figure.axes[len(gates["weights"]) - 1]
    assert [tick.get_text() for tick in last.get_xticklabels()] == list(gates["experts"])


def test_several_processes_leave_frozen_batch_norms_alone():
    network = trained_network("multi_head_decoder", {"kernel": 3}, added=1)
    synchronise_batch_norm(network, torch.device("cpu"))
    network.train()
    norms = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm3d)}
    for name, norm in norms.items():
        assert norm.training == norm.weight.requires_grad == name.startswith("decoders.2.")


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {method for method, _ in EXTENDABLE}))
def test_other_methods_say_that_they_cannot(method):
    with torch.device("meta"):
        network = method_class(method)(2, width=1)
    with pytest.raises(NotImplementedError):
        network.extend()
