"""How many windows are predicted at once."""

import pytest
import torch

from ssp_model.nn.methods.repmode import RepMode
from ssp_model.prediction import memory
from ssp_model.prediction.memory import peak_bytes_on_gpu, tensor_bytes, windows_at_once


class ThreeAtOnce(torch.nn.Module):
    """A network that holds its input and two results at once, then a third instead of the first."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        first = x * self.weight
        second = first + 1
        # a view and what is done in place take no memory of their own
        second.flatten().relu_()
        del first
        return second * 2


def test_tensors_alive_at_once_are_counted():
    assert tensor_bytes(ThreeAtOnce(), (4, 5, 6)) == 3 * 4 * 4 * 5 * 6


def test_memory_of_a_network_grows_with_the_voxels():
    network = RepMode(1, 4).eval().specialise(0)
    small, large = tensor_bytes(network, (16, 16, 16)), tensor_bytes(network, (16, 32, 48))
    assert large == 6 * small
    # the last level of the decoder: its input of eight channels beside the result of four, and more
    assert 12 <= small / (4 * 16**3) <= 20


@pytest.mark.parametrize(("windows", "number"), [(0.5, 1), (7.5, 7), (1e6, 32)])
def test_as_many_windows_as_fit_in_memory(monkeypatch, windows, number):
    patch = (16, 32, 32)
    monkeypatch.setattr(memory, "MEMORY_ON_CPU", int(windows * tensor_bytes(ThreeAtOnce(), patch)))
    assert windows_at_once(ThreeAtOnce(), patch) == number


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_memory_on_a_gpu_is_measured():
    network = RepMode(1, 4).cuda().eval().specialise(0)
    assert peak_bytes_on_gpu(network, (16, 32, 32)) >= tensor_bytes(network.cpu(), (16, 32, 32))
    assert 1 <= windows_at_once(network.cuda(), (16, 32, 32)) <= 32
