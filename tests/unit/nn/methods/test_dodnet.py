"""DoDNet: the layers that it generates."""

import torch
import torch.nn.functional as F

from ssp_model.nn.methods.dodnet import DoDNet


def batch(*tasks: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(len(tasks), 1, 16, 32, 32), torch.tensor(tasks)


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
