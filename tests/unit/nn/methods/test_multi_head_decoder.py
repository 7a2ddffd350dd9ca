"""Multi-Net and Multi-Head (Dec.): whose crops the parts of a task see."""

import pytest
import torch
from torch import nn

from ssp_model.nn.method import Method
from ssp_model.nn.methods.multi_head_decoder import MultiHeadDecoder
from ssp_model.nn.methods.multi_net import MultiNet


def batch(*tasks: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(len(tasks), 1, 16, 32, 32), torch.tensor(tasks)


@pytest.mark.parametrize("method", [MultiNet, MultiHeadDecoder])
def test_batch_norms_of_a_task_see_its_crops_only(method: type[Method]) -> None:
    torch.manual_seed(0)
    network = method(3, width=1)
    parts = network.networks if isinstance(network, MultiNet) else network.decoders
    x, task = batch(0, 2, 0)
    network(x, task)
    counts = [{m.num_batches_tracked.item() for m in part.modules() if isinstance(m, nn.BatchNorm3d)} for part in parts]
    assert counts == [{1}, {0}, {1}]


@pytest.mark.parametrize("method", [MultiNet, MultiHeadDecoder])
def test_parts_of_absent_tasks_move_by_momentum(method: type[Method]) -> None:
    torch.manual_seed(0)
    network = method(2, width=1)
    adam = torch.optim.Adam(network.parameters())
    part = network.networks[1] if isinstance(network, MultiNet) else network.decoders[1]
    moves = []
    for tasks in ((0, 1), (0, 0)):
        before = part.head.weight.detach().clone()
        adam.zero_grad()
        network(*batch(*tasks)).square().mean().backward()
        adam.step()
        moves.append((part.head.weight - before).abs().max().item())
    assert 0 < moves[1] < moves[0]
