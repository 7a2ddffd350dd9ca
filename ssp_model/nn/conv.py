"""Convolutions that keep the size of their input.

Shapes: N batch, C channels (I in, O out), D H W voxels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SameConv3d(nn.Module):
    """Plain convolution with the initial weights of torch.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : int
        Size of the kernel along each axis in voxels, odd.
    bias : bool
        Add a number to each output channel.
    """

    bias: nn.Parameter | None

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel, kernel))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        bound = 1 / math.sqrt(in_channels * kernel**3)
        self.register_parameter(
            "bias", nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None
        )

    def forward(self, x_NCDHW: Tensor) -> Tensor:
        """Convolve (N, I, D, H, W) to (N, O, D, H, W)."""
        return convolve(x_NCDHW, self.weight, self.bias)


def convolve(x_NCDHW: Tensor, kernel_OIDHW: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Convolve with kernels of odd sizes and keep the size: (N, I, D, H, W) to (N, O, D, H, W)."""
    padding = [size // 2 for size in kernel_OIDHW.shape[2:]]
    # if oneDNN 3.12 (torch 2.13, AVX-512 bf16) pads an input of fewer voxels than the kernel along an axis, it gives
    # wrong weight gradients, sometimes NaN, and for a single channel also a wrong output; if it is padded first, both
    # are right
    in_bf16 = x_NCDHW.dtype is torch.bfloat16 or torch.is_autocast_enabled("cpu")
    has_few = any(size < 5 and reach > 0 for size, reach in zip(x_NCDHW.shape[2:], padding, strict=True))
    is_affected = torch.is_grad_enabled() or x_NCDHW.shape[1] == 1
    if x_NCDHW.device.type == "cpu" and in_bf16 and has_few and is_affected:
        depth, height, width = padding
        x_NCDHW, padding = F.pad(x_NCDHW, (width, width, height, height, depth, depth)), [0, 0, 0]
    return F.conv3d(x_NCDHW, kernel_OIDHW, bias_O, padding=padding)
