"""The 3D U-Net that the methods share (supplement of RepMode): its parts, and the plain network for one structure.

Shapes: N batch, C channels, D H W voxels. D, H and W must be multiples of 16 (four halvings).
"""

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from ssp_model.nn.conv import SameConv3d

LEVELS = 4
"""Number of times that the resolution is halved."""
STRIDE = 2**LEVELS
"""Each spatial size of the input must be a multiple of this."""


def level_widths(width: int) -> list[int]:
    """Return the channels of each level, from the first to the bottleneck; each has twice as many."""
    return [width * 2**level for level in range(LEVELS + 1)]


def encoder_channels(width: int) -> list[tuple[int, int]]:
    """Return the channels that enter and leave each level of the encoder, from the first down to the last."""
    widths = level_widths(width)[:-1]
    return list(zip([1, *widths[:-1]], widths, strict=True))


def decoder_channels(width: int) -> list[int]:
    """Return the channels that leave each level of the decoder, from the deepest up to the first."""
    return level_widths(width)[-2::-1]


def downsample(channels: int) -> nn.Sequential:
    """Halve the resolution: strided convolution, batch norm, ReLU."""
    conv = nn.Conv3d(channels, channels, kernel_size=2, stride=2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(channels), nn.ReLU(inplace=True))


def upsample(in_channels: int, out_channels: int) -> nn.Sequential:
    """Double the resolution: transposed convolution, batch norm, ReLU."""
    conv = nn.ConvTranspose3d(in_channels, out_channels, kernel_size=2, stride=2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True))


def downsamplers(width: int) -> nn.ModuleList:
    """Return what halves the resolution after each level of the encoder, from the first down."""
    return nn.ModuleList(downsample(channels) for _, channels in encoder_channels(width))


def upsamplers(width: int) -> nn.ModuleList:
    """Return what doubles the resolution before each level of the decoder, from the deepest up."""
    return nn.ModuleList(upsample(2 * channels, channels) for channels in decoder_channels(width))


class Block(nn.Module):
    """Convolve, then batch norm and, unless `relu` is false, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, relu: bool = True) -> None:
        super().__init__()
        self.conv = SameConv3d(in_channels, out_channels, kernel)
        self.norm: nn.Module = nn.BatchNorm3d(out_channels)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        x = self.norm(self.conv(x))
        return torch.relu_(x) if self.relu else x


class Level(nn.Module):
    """Apply the two blocks of a level."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.block1 = Block(in_channels, out_channels, kernel)
        self.block2 = Block(out_channels, out_channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return self.block2(self.block1(x))


class Encoder(nn.Module):
    """The way down, with the bottleneck."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        *_, last, deepest = level_widths(width)
        self.levels = nn.ModuleList(Level(c_in, c_out, kernel) for c_in, c_out in encoder_channels(width))
        self.down = downsamplers(width)
        self.bottleneck = Level(last, deepest, kernel)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map (N, 1, D, H, W) to the output of the bottleneck, (N, 16 width, D/16, H/16, W/16), and of each level."""
        skips = []
        for level, down in zip(self.levels, self.down, strict=True):
            x = level(x)
            skips.append(x)
            x = down(x)
        return self.bottleneck(x), skips


class Decoder(nn.Module):
    """The way up, without the last convolution. `extra` channels more enter each level."""

    def __init__(self, width: int, kernel: int, extra: int = 0) -> None:
        super().__init__()
        self.up = upsamplers(width)
        self.levels = nn.ModuleList(Level(2 * c + extra, c, kernel) for c in decoder_channels(width))

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Map what an encoder returns to features, (N, width, D, H, W). The list of skips is emptied."""
        for level, up in zip(self.levels, self.up, strict=True):
            x = level(torch.cat([skips.pop(), up(x)], dim=1))
        return x


class UNet(nn.Module):
    """Plain 3D U-Net.

    Parameters
    ----------
    width : int
        Channels of the first level, doubled at each of the four levels below.
    kernel : int
        Size of the convolution kernels along each axis, in voxels.
    outputs : int
        Channels of the output.
    """

    def __init__(self, width: int, kernel: int = 5, outputs: int = 1) -> None:
        super().__init__()
        self.encoder = Encoder(width, kernel)
        self.decoder = Decoder(width, kernel)
        self.head = SameConv3d(width, outputs, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Predict fluorescence from transmitted light, both standardised: (N, 1, D, H, W) to (N, outputs, D, H, W)."""
        return self.head(self.decoder(*self.encoder(x)))


Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def folded(network: Network) -> Network:
    """Return a copy of a network in evaluation mode, with each batch norm folded into the convolution before it."""
    network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    for module in list(network.modules()):
        if isinstance(module, Block):
            fold(module.conv, module.norm)
            module.norm = nn.Identity()
        elif isinstance(module, nn.Sequential):
            for number, (conv, norm) in enumerate(pairwise(module), start=1):
                if isinstance(conv, nn.Conv3d | nn.ConvTranspose3d) and isinstance(norm, nn.BatchNorm3d):
                    fold(conv, norm)
                    module[number] = nn.Identity()
    return network


def fold(conv: nn.Module, norm: nn.Module) -> None:
    """Change kernel and bias of a convolution so that it does what the batch norm after it does; in float64."""
    assert isinstance(conv, SameConv3d | nn.Conv3d | nn.ConvTranspose3d)
    assert isinstance(norm, nn.BatchNorm3d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale_O = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    # the kernel of a transposed convolution has its output channels second
    by_output = (
        scale_O[:, None, None, None] if isinstance(conv, nn.ConvTranspose3d) else scale_O[:, None, None, None, None]
    )
    mean_O = norm.running_mean.double() if conv.bias is None else norm.running_mean.double() - conv.bias.double()
    bias = (norm.bias.double() - mean_O * scale_O).to(conv.weight.dtype)
    conv.weight.copy_(conv.weight.double() * by_output)
    conv.bias = nn.Parameter(bias, requires_grad=False)
