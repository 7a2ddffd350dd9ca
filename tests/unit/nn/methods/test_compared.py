"""The compared methods: what is particular to each."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ssp_model.nn.method import Method
from ssp_model.nn.methods.condnet import CondNet
from ssp_model.nn.methods.dodnet import DoDNet
from ssp_model.nn.methods.multi_head_decoder import MultiHeadDecoder
from ssp_model.nn.methods.multi_net import MultiNet
from ssp_model.nn.methods.pipo_fan import PIPOFAN
from ssp_model.nn.methods.tgnet import TGNet
from ssp_model.nn.methods.tsns import ConditionalBlock, Embedding


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


@torch.no_grad()
def test_condnets_code_is_a_bias_of_the_task_away_from_the_borders() -> None:
    torch.manual_seed(0)
    conv = CondNet(3, width=2, kernel=3).decoder.levels[-1].block1.conv
    maps = torch.zeros(1, 4 + 3, 6, 6, 6)
    maps[:, 4 + 1] = 1
    inner = conv(maps)[..., 1:-1, 1:-1, 1:-1]
    assert torch.allclose(inner, conv.weight[:, 4 + 1].sum((1, 2, 3))[None, :, None, None, None].expand_as(inner))


@torch.no_grad()
def test_tsns_blocks_norm_each_channel_of_each_sample() -> None:
    torch.manual_seed(0)
    block = ConditionalBlock(3, 5, 3, embedding=40)
    x, embedding = 4 + torch.randn(2, 3, 8, 8, 8), torch.randn(2, 40)
    scale, shift = (block.affine.weight * (2 / 40) ** 0.5 @ embedding.T).T.chunk(2, dim=1)
    normed = F.instance_norm(block.conv(x))
    wanted = F.leaky_relu(normed * (1 + scale)[..., None, None, None] + shift[..., None, None, None], 0.01)
    assert torch.allclose(block(x, embedding), wanted, atol=1e-5)


@torch.no_grad()
def test_tsns_embedding_starts_from_orthogonal_vectors_of_unit_rms() -> None:
    embedding = Embedding(3)
    inputs: list[torch.Tensor] = []
    embedding.layers[0].register_forward_hook(lambda layer, args, output: inputs.append(args[0]))
    embedding(torch.tensor([0, 1, 2]))
    assert torch.allclose(inputs[0] @ inputs[0].T / 60, torch.eye(3), atol=1e-5)


def test_pipo_fan_trains_each_scale_and_their_mixture() -> None:
    torch.manual_seed(0)
    network = PIPOFAN(3, width=2).eval()
    x, task = batch(2, 0)
    (fused, _), *scales = network.supervised(x, task)
    assert [weight for _, weight in scales] == [0.2] * 5
    maps = network.maps(x)
    weights = torch.stack([network.score(map_) for map_ in maps]).softmax(0)
    assert torch.allclose(weights.sum(0), torch.ones(2))
    wanted = [sum(weights[s, n] * maps[s][n, t] for s in range(5)) for n, t in enumerate(task)]
    assert torch.allclose(fused[:, 0], torch.stack(wanted), atol=1e-6)
    for (prediction, _), map_ in zip(scales, maps, strict=True):
        assert torch.equal(prediction[:, 0], map_[torch.arange(2), task])


@torch.no_grad()
def test_dodnets_last_layers_are_grouped_convolutions() -> None:
    torch.manual_seed(0)
    network = DoDNet(3, width=2).eval()
    x, task = batch(2, 0)
    deep, skips = network.encoder(x)
    parts = network.controller(torch.cat([deep.mean((2, 3, 4)), F.one_hot(task, 3)], dim=1))
    weights, biases = parts[:, :136].split([64, 64, 8], dim=1), parts[:, 136:].split([8, 8, 1], dim=1)
    y = network.squeeze(network.decoder(deep, skips)).reshape(1, 16, *x.shape[2:])
    for number, (weight, bias, c_out) in enumerate(zip(weights, biases, (8, 8, 1), strict=True)):
        kernel = weight.reshape(2 * c_out, 8, 1, 1, 1)
        y = F.conv3d(y if number == 0 else F.relu(y), kernel, bias.reshape(-1), groups=2)
    assert torch.allclose(network(x, task)[:, 0], y[0], atol=1e-6)
    # from the image too, not from the task alone
    assert not torch.equal(*network.generate(deep, torch.tensor([1, 1]))[0][0])


@torch.no_grad()
def test_tgnets_gates_read_image_and_task() -> None:
    torch.manual_seed(0)
    level = TGNet(3, width=2).eval().encoder[0]
    x, _ = batch(0, 0)
    gates: list[torch.Tensor] = []
    level.gate.register_forward_hook(lambda layer, args, output: gates.append(output))
    level(x, torch.eye(3)[[0, 1]])
    level(x, torch.eye(3)[[0, 0]])
    assert torch.equal(gates[0][0], gates[1][0])
    assert not torch.equal(gates[0][1], gates[1][1])
    assert not torch.equal(gates[1][0], gates[1][1])
