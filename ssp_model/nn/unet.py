"""The 3D U-Net that the methods share (supplement of RepMode): its parts, and the plain network for one structure.

Shapes: N batch, C channels, D H W voxels. D, H and W must be multiples of 16 (four halvings).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 4
"""Number of times that the resolution is halved."""
STRIDE = 2**LEVELS
"""Each spatial size of the input must be a multiple of this."""


def level_widths(width: int) -> list[int]:
    """Return the channels of each level, from the first to the bottleneck; each has twice as many."""
    return [width * 2**level for level in range(LEVELS + 1)]


def downsample(channels: int) -> nn.Sequential:
    """Halve the resolution: strided convolution, batch norm, ReLU."""
    conv = nn.Conv3d(channels, channels, kernel_size=2, stride=2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(channels), nn.ReLU(inplace=True))


def upsample(in_channels: int, out_channels: int) -> nn.Sequential:
    """Double the resolution: transposed convolution, batch norm, ReLU."""
    conv = nn.ConvTranspose3d(in_channels, out_channels, kernel_size=2, stride=2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """3D U-Net of convolutions with bias and ReLU, for one structure: what `specialise` of a method returns.

    Parameters
    ----------
    width : int
        Channels of the first level, doubled at each level below.
    kernel : int
        Size of the convolution kernels along each axis, in voxels.
    """

    def __init__(self, width: int, kernel: int = 5) -> None:
        super().__init__()
        widths = level_widths(width)
        inputs = [1, *widths[:-1]]
        self.encoder = nn.ModuleList(
            conv_pair(c_in, c, kernel) for c_in, c in zip(inputs[:-1], widths[:-1], strict=True)
        )
        self.down = nn.ModuleList(nn.Conv3d(c, c, kernel_size=2, stride=2) for c in widths[:-1])
        self.bottleneck = conv_pair(widths[-2], widths[-1], kernel)
        # from the deepest level up
        self.up = nn.ModuleList(nn.ConvTranspose3d(2 * c, c, kernel_size=2, stride=2) for c in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(conv_pair(2 * c, c, kernel) for c in reversed(widths[:-1]))
        self.head = nn.Conv3d(width, 1, kernel_size=kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Predict fluorescence from transmitted light, both standardised, (N, 1, D, H, W)."""
        skips = []
        for level, down in zip(self.encoder, self.down, strict=True):
            x = level(x)
            skips.append(x)
            x = torch.relu_(down(x))
        x = self.bottleneck(x)
        for level, up in zip(self.decoder, self.up, strict=True):
            x = level(torch.cat([skips.pop(), torch.relu_(up(x))], dim=1))
        return self.head(x)


def conv_pair(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Build the two convolutions of a level: (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel, padding=kernel // 2),
        nn.ReLU(inplace=True),
        nn.Conv3d(out_channels, out_channels, kernel, padding=kernel // 2),
        nn.ReLU(inplace=True),
    )


@torch.no_grad()
def fold_network(network: Any, kernel_of: Callable[[Any], Tensor], head_kernel: Tensor) -> UNet:
    """Return the plain U-Net that computes one task as the network does in evaluation.

    Batch norm is folded into the kernels.

    Parameters
    ----------
    network : Module
        It has `encoder`, `down`, `bottleneck`, `up` and `decoder` as `UNet` has. Each level has two blocks, `block1`
        and `block2`, with a convolution `conv` and a batch norm `norm`.
    kernel_of : callable
        Returns the kernel of a convolution for the task, (O, I, D, H, W).
    head_kernel : Tensor
        Kernel of the last convolution for the task, (1, I, D, H, W).
    """
    unet = UNet(network.width, head_kernel.shape[-1]).to(head_kernel.device)
    levels: list[Any] = [*zip(unet.encoder, network.encoder, strict=True), (unet.bottleneck, network.bottleneck)]
    for pair, level in [*levels, *zip(unet.decoder, network.decoder, strict=True)]:
        # in a pair, each convolution comes before its ReLU
        for conv, block in ((pair[0], level.block1), (pair[2], level.block2)):
            fold(conv, kernel_of(block.conv), block.norm)
    samplers: list[Any] = [*zip(unet.down, network.down, strict=True), *zip(unet.up, network.up, strict=True)]
    for conv, (plain, norm, _) in samplers:
        fold(conv, plain.weight, norm)
    unet.head.weight.copy_(head_kernel)
    return unet.eval()


def fold(conv: nn.Conv3d | nn.ConvTranspose3d, kernel: Tensor, norm: nn.BatchNorm3d) -> None:
    """Set kernel and bias of `conv` to a kernel and the batch norm that follows it, computed in float64."""
    assert conv.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale_O = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    # the kernel of a transposed convolution has its output channels second
    by_output = (
        scale_O[:, None, None, None] if isinstance(conv, nn.ConvTranspose3d) else scale_O[:, None, None, None, None]
    )
    conv.weight.copy_(kernel.double() * by_output)
    conv.bias.copy_(norm.bias.double() - norm.running_mean.double() * scale_O)
