"""The plain U-Net of a task is the network itself."""

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from ssp_model.nn.repmode import RepMode


def random_network(tasks: int, width: int, seed: int) -> RepMode:
    """A network with random weights and, as after training, random statistics in its batch norms."""
    torch.manual_seed(seed)
    network = RepMode(tasks, width)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.3, 3)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, std=0.3)
    return network.eval()


@settings(max_examples=15, deadline=None)
@given(tasks=st.integers(1, 4), width=st.integers(1, 4), seed=st.integers(0, 2**16), data=st.data())
@torch.no_grad()
def test_specialised_network_is_the_network(tasks, width, seed, data):
    network = random_network(tasks, width, seed)
    task = data.draw(st.integers(0, tasks - 1))
    x = torch.randn(2, 1, 16, 32, 16)
    wanted = network(x, torch.full((2,), task))
    # a network that is all but dead says nothing: what little comes out is what large terms leave of each other
    assume(wanted.norm() > 0.1)
    assert (network.specialise(task)(x) - wanted).norm() <= 1e-5 * wanted.norm()
