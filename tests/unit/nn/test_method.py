"""What every method promises: mixed batches, its plain network for one task, gradients, what can be drawn."""

from itertools import product
from typing import get_args

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ssp_model.config.ablations import ABLATIONS
from ssp_model.config.schema import ModelConfig, method_of
from ssp_model.models.model_file import make_network
from ssp_model.nn.methods import METHODS
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
