"""Multi-Head (Las.): sizes as counted from the paper's topology, and which channel learns."""

import pytest
import torch

from ssp_model.nn.methods.multi_head_last import MultiHeadLast


@pytest.mark.parametrize(("kernel", "parameters"), [(5, 100_196_768), (3, 23_286_368)])
def test_published_size(kernel, parameters):
    with torch.device("meta"):
        network = MultiHeadLast(num_tasks=12, kernel=kernel)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_only_the_channel_of_the_labelled_task_learns():
    torch.manual_seed(0)
    network = MultiHeadLast(num_tasks=3, width=1)
    network(torch.randn(2, 1, 16, 16, 32), torch.tensor([2, 0])).square().mean().backward()
    learns = [bool(gradient.any()) for gradient in network.unet.head.weight.grad]
    assert learns == [True, False, True]
