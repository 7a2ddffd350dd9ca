"""TGNet-style: what its gates read."""

import torch

from ssp_model.nn.methods.tgnet import TGNet


def batch(*tasks: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(len(tasks), 1, 16, 32, 32), torch.tensor(tasks)


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
