"""What every method promises: mixed batches, its plain network for one task, gradients, what can be drawn.

Methods that can be extended by a task: what was learnt before stays the same to the bit, only what is new learns.
"""

import copy
import sys
from itertools import product
from typing import get_args

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from ssp_model.config.ablations import ABLATIONS
from ssp_model.config.schema import ModelConfig, method_of, parse_model
from ssp_model.models.model_file import ModelInfo, load_model, make_network, save_model
from ssp_model.nn.methods import METHODS, method_class
from ssp_model.simulation.simulate import SimulationConfig, channel_names, simulate_image
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
@settings(max_examples=4, deadline=None)
@given(num_tasks=st.integers(1, 4), width=st.integers(1, 4), seed=st.integers(0, 2**16), data=st.data())
@torch.no_grad()
def test_specialised_network_is_the_network(method, own, num_tasks, width, seed, data):
    network = random_network(method, num_tasks, seed, width=width, **own)
    task = data.draw(st.integers(0, num_tasks - 1))
    x = torch.randn(2, 1, 16, 32, 16)
    wanted = network(x, torch.full((2,), task))
    # a network that is all but dead says nothing: what little comes out is what large terms leave of each other
    assume(wanted.norm() > 0.1)
    # the weights that DoDNet generates carry the rounding of all that is before them
    tolerance = 1e-4 if method == "dodnet" else 1e-5
    assert (network.specialise(task)(x) - wanted).norm() <= tolerance * wanted.norm()


@every_method
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**16), tasks=st.lists(st.integers(0, 2), min_size=2, max_size=4))
@torch.no_grad()
def test_a_sample_depends_on_no_other_samples_task(method, own, seed, tasks):
    network = random_network(method, 3, seed, width=2, **own)
    x = torch.randn(len(tasks), 1, 16, 16, 32)
    together = network(x, torch.tensor(tasks))
    assume(together.norm() > 0.1)
    for number, task in enumerate(tasks):
        alone = network(x[number : number + 1], torch.tensor([task]))
        tolerance = 1e-4 if method == "dodnet" else 1e-5
        assert (together[number] - alone[0]).norm() <= tolerance * together.norm()


# parameters of one task alone, here of task 1
OWN_OF_A_TASK = {"multi_net": "networks.1.", "multi_head_decoder": "decoders.1."}


@every_method
def test_parameters_learn_that_should(method, own):
    torch.manual_seed(0)
    network = make_network(method, 3, {"width": 8, **own})
    x = torch.randn(4, 1, 16, 16, 32)

    def idle(*tasks: int) -> set[str]:
        network.zero_grad()
        outputs = network.supervised(x, torch.tensor(tasks))
        sum(weight * prediction.square().mean() for prediction, weight in outputs).backward()
        return {name for name, parameter in network.named_parameters() if not parameter.grad.any()}

    assert idle(0, 1, 2, 1) == set()
    prefix = OWN_OF_A_TASK.get(method)
    of_task_1 = {name for name, _ in network.named_parameters() if prefix and name.startswith(prefix)}
    assert idle(0, 2, 2, 0) == of_task_1


@every_method
@torch.no_grad()
def test_what_is_supervised_first_is_the_prediction(method, own):
    network = random_network(method, 3, 0, width=2, **own)
    x, task = torch.randn(3, 1, 16, 32, 16), torch.tensor([2, 0, 1])
    first, weight = network.supervised(x, task)[0]
    assert weight == 1
    assert torch.equal(first, network(x, task))


@every_method
def test_mixed_precision_follows_float32(method, own):
    torch.manual_seed(0)
    network = make_network(method, 3, {"width": 4, **own})
    x, task = torch.randn(3, 1, 16, 16, 32), torch.tensor([2, 0, 1])
    wanted = network(x, task)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(x, task)
        found.float().square().mean().backward()
    assert (found - wanted).norm() < 0.2 * wanted.norm()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)


# the facts on the compared methods, for 12 tasks and width 32: with kernels of 5^3, and with 3^3
SIZES = {
    "multi_net": (1_201_833_216, 279_322_368),
    "multi_head_decoder": (474_587_488, 116_189_728),
    "multi_head_last": (100_196_768, 23_286_368),
    "condnet": (100_872_768, 23_432_384),
    "tsns": (101_905_568, 25_029_664),
    "pipo_fan": (135_685_663, 41_753_055),
    "dodnet": (100_229_357, 23_356_589),
    "tgnet": (100_818_676, 23_942_772),
}


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"repmode"}))
def test_published_size(method):
    for kernel, parameters in zip((5, 3), SIZES[method], strict=True):
        with torch.device("meta"):
            network = make_network(method, 12, {"kernel": kernel})
        assert sum(parameter.numel() for parameter in network.parameters()) == parameters
        assert f"{parameters:,}" in " ".join(sys.modules[type(network).__module__].__doc__.split())


@pytest.fixture(scope="module")
def simulated() -> tuple[torch.Tensor, torch.Tensor]:
    """Signal and target of three structures, standardised, (3, 1, 16, 16, 32) each."""
    names = ("fibrillarin", "lamin_b1", "membrane_caax_63x")
    config = SimulationConfig(structures=names, images=1, shape_zyx=(16, 64, 64), voxel_size_um=(0.29, 0.29, 0.29))
    images = {name: torch.from_numpy(simulate_image(name, 0, config).astype("float32")) for name in names}
    channels = {name: channel_names(name) for name in names}
    pairs = [
        torch.stack([image[channels[name].index(channel)] for channel in ("Bright_100", "EGFP")])
        for name, image in images.items()
    ]
    volumes = torch.stack(pairs)
    volumes = (volumes - volumes.mean((2, 3, 4), keepdim=True)) / volumes.std((2, 3, 4), keepdim=True)
    volumes = volumes[..., :16, :32]
    return volumes[:, :1], volumes[:, 1:]


@pytest.mark.parametrize("method", METHODS)
def test_thirty_steps_are_better_than_any_constant(method, simulated):
    torch.manual_seed(0)
    network = make_network(method, 3, {"width": 4})
    adam = torch.optim.Adam(network.parameters(), lr=5e-3)
    x, y = simulated
    for _ in range(30):
        outputs = network.supervised(x, torch.arange(3))
        errors = [(weight, (prediction - y).square().mean()) for prediction, weight in outputs]
        adam.zero_grad()
        sum(weight * error for weight, error in errors).backward()
        adam.step()
    assert errors[0][1] < 0.95 * y.var()


@every_method
@torch.no_grad()
def test_a_model_file_keeps_the_network(method, own, tmp_path):
    network = random_network(method, 2, 0, width=1, **own)
    settings = parse_model({"method": method, "width": 1, **own}).model_dump(mode="json")
    info = ModelInfo(
        structures=("tom20", "zo1"),
        method=settings.pop("method"),
        settings=settings,
        patch=(16, 32, 32),
        voxel_size_um=None,
        preprocess={},
        config={},
        training={},
    )
    save_model(network, info, tmp_path / "model.safetensors")
    loaded, known = load_model(tmp_path / "model.safetensors")
    assert known == info
    x, task = torch.randn(2, 1, 16, 16, 32), torch.tensor([1, 0])
    assert torch.equal(loaded(x, task), network(x, task))


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
    network(torch.randn(4, 1, 16, 16, 32), torch.tensor([0, 1, 0, 1]))
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
    """A step on the last task."""
    torch.manual_seed(1)
    network.train()
    adam = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    x, y = torch.randn(2, 2, 1, 16, 32, 16)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        prediction = network(x, torch.full((2,), network.num_tasks - 1))
    (prediction - y).square().mean().backward()
    adam.step()


def same(before, after):
    pairs = zip(sum(before, ()), sum(after, ()), strict=True)
    return [torch.equal(old, new) for old, new in pairs]


# bf16 takes long on a CPU without units for it
IN_BF16 = [
    ("repmode", {}),
    ("repmode", {"gate_layers": 2, "task_embedding": "gaussian"}),
    ("multi_head_decoder", {"kernel": 3}),
]


@pytest.mark.parametrize(
    ("method", "own", "bf16"), [*((*one, False) for one in EXTENDABLE), *((*one, True) for one in IN_BF16)]
)
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
