"""Multi-Head (Las.): which channel learns."""

import torch

from ssp_model.nn.methods.multi_head_last import MultiHeadLast


def test_only_the_channel_of_the_labelled_task_learns():
    torch.manual_seed(0)
    network = MultiHeadLast(num_tasks=3, width=1)
    network(torch.randn(2, 1, 16, 16, 32), torch.tensor([2, 0])).square().mean().backward()
    learns = [bool(gradient.any()) for gradient in network.unet.head.weight.grad]
    assert learns == [True, False, True]
