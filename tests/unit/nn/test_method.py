"""What every method promises: mixed batches, its plain network for one task, gradients, what can be drawn.

Methods that can be extended by a task: what was learnt before stays the same to the bit, only what is new learns.
"""

import copy
from itertools import product
from typing import get_args

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from ssp_model.config.ablations import ABLATIONS
from ssp_model.config.schema import ModelConfig, method_of
from ssp_model.models.model_file import ModelInfo, load_model, make_network, save_model
from ssp_model.nn.methods import METHODS, method_class
from tests.helpers import random_network

SETTINGS = [
    ("repmode", {}),
    *(("repmode", ablation.settings) for ablation in ABLATIONS.values()),
    *product(sorted(METHODS.keys() - {"repmode"}), [{"kernel": 5}, {"kernel": 3}]),
]
every_method = pytest.mark.parametrize(("method", "own"), SETTINGS)


def test_every_method_is_tested_and_has_its_settings():
    assert {method for method, _ in SETTINGS} == set(METHODS)
    assert {method_of(kind) for kind in get_args(ModelConfig)} == set(METHODS)


@every_method
@settings(max_examples=10, deadline=None)
@given(num_tasks=st.integers(1, 4), width=st.integers(1, 4), seed=st.integers(0, 2**16), data=st.data())
@torch.no_grad()
def test_specialised_network_is_the_network(method, own, num_tasks, width, seed, data):
    network = random_network(method, num_tasks, seed, width=width, **own)
    task = data.draw(st.integers(0, num_tasks - 1))
    x = torch.randn(2, 1, 16, 32, 16)
    wanted = network(x, torch.full((2,), task))
    # a network that is all but dead says nothing: what little comes out is what large terms leave of each other
    assume(wanted.norm() > 0.1)
    assert (network.specialise(task)(x) - wanted).norm() <= 1e-5 * wanted.norm()


@every_method
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16), tasks=st.lists(st.integers(0, 2), min_size=2, max_size=4))
@torch.no_grad()
def test_a_sample_depends_on_no_other_samples_task(method, own, seed, tasks):
    network = random_network(method, 3, seed, width=2, **own)
    x = torch.randn(len(tasks), 1, 16, 16, 32)
    together = network(x, torch.tensor(tasks))
    assume(together.norm() > 0.1)
    for number, task in enumerate(tasks):
        alone = network(x[number : number + 1], torch.tensor([task]))
        assert (together[number] - alone[0]).norm() <= 1e-5 * together.norm()


@every_method
def test_every_parameter_learns_from_all_tasks(method, own):
    torch.manual_seed(0)
    network = make_network(method, 3, {"width": 2, **own})
    network(torch.randn(3, 1, 16, 32, 32), torch.tensor([0, 1, 2])).square().mean().backward()
    assert [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ] == []


def test_what_a_report_may_draw():
    gates = make_network("repmode", 3, {"width": 1}).inspect()["gates"]
    assert gates["experts"] == ("conv5", "conv3", "conv1", "pool3", "pool5")
    assert list(gates["weights"])[:2] == ["encoder 1, conv 1", "encoder 1, conv 2"]
    assert list(gates["weights"])[-2:] == ["decoder 1, conv 2", "head"]
    for weights in gates["weights"].values():
        assert weights.shape == (3, 5)
        assert weights.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert make_network("multi_head_last", 3, {"width": 1}).inspect() == {}


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


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {method for method, _ in EXTENDABLE}))
def test_other_methods_say_that_they_cannot(method):
    with torch.device("meta"):
        network = method_class(method)(2, width=1)
    with pytest.raises(NotImplementedError):
        network.extend()
