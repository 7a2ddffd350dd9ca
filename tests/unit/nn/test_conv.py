"""Convolutions that keep the size of their input."""

import pytest
import torch
import torch.nn.functional as F

from ssp_model.nn.conv import SameConv3d


@pytest.mark.parametrize("planes", [1, 2, 4, 5])
@torch.inference_mode()
def test_bf16_follows_float32_where_planes_are_fewer_than_those_of_the_kernel(planes):
    """By its own padding, oneDNN reads beyond an input of one plane and one channel."""
    torch.manual_seed(0)
    conv = SameConv3d(1, 2, 5, bias=True).to(memory_format=torch.channels_last_3d)
    x = torch.randn(8, 1, planes, 2, 2)
    wanted = F.conv3d(x, conv.weight, conv.bias, padding=2)
    for size in (16, 256, 4096, 2**16):
        left_behind = [torch.full((size,), torch.nan, dtype=torch.bfloat16) for _ in range(6)]
        del left_behind
        with torch.autocast("cpu", torch.bfloat16):
            assert (conv(x).float() - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize("shape", [(1, 1, 2), (8, 1, 2), (8, 2, 8), (8, 8, 3), (5, 5, 5)])
def test_gradients_in_bf16_follow_float32_where_an_axis_is_shorter_than_the_kernel(shape):
    """By its own padding, oneDNN gives gradients of what was left behind in memory, along any axis."""
    torch.manual_seed(0)
    conv = SameConv3d(8, 8, 5).to(memory_format=torch.channels_last_3d)
    x = torch.randn(3, 8, *shape)
    F.conv3d(x, conv.weight, padding=2).square().sum().backward()
    wanted = conv.weight.grad
    for size in (16, 256, 4096, 2**16):
        left_behind = [torch.full((size,), torch.nan, dtype=torch.bfloat16) for _ in range(6)]
        del left_behind
        conv.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            conv(x).float().square().sum().backward()
        assert (conv.weight.grad - wanted).norm() < 0.05 * wanted.norm()
