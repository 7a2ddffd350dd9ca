"""CondNet: how the decoder reads the task."""

import torch

from ssp_model.nn.methods.condnet import CondNet


@torch.no_grad()
def test_condnets_code_is_a_bias_of_the_task_away_from_the_borders() -> None:
    torch.manual_seed(0)
    conv = CondNet(3, width=2, kernel=3).decoder.levels[-1].block1.conv
    maps = torch.zeros(1, 4 + 3, 6, 6, 6)
    maps[:, 4 + 1] = 1
    inner = conv(maps)[..., 1:-1, 1:-1, 1:-1]
    assert torch.allclose(inner, conv.weight[:, 4 + 1].sum((1, 2, 3))[None, :, None, None, None].expand_as(inner))
