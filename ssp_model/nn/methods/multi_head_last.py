"""Multi-Head (Las.) of RepMode's table 1: a plain 3D U-Net whose last convolution has a channel for each task.

The tasks share everything but the last convolution. A sample trains the channel of its own structure; others get no
loss. With 12 tasks and width 32 the network has 100,196,768 parameters with kernels of 5^3, and 23,286,368 with 3^3.
The paper does not say which kernel size it used. 5^3 gives the topology and the cost of RepMode.

Shapes: N batch, C channels, T tasks, D H W voxels. D, H and W must be multiples of 16 (four halvings).
"""

import torch
from torch import Tensor, nn

from ssp_model.nn.conv import SameConv3d
from ssp_model.nn.method import Method
from ssp_model.nn.unet import UNet, downsample, fold_network, level_widths, upsample


class Block(nn.Module):
    """Convolve, then batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = SameConv3d(in_channels, out_channels, kernel)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return torch.relu_(self.norm(self.conv(x)))


class Level(nn.Module):
    """Apply the two blocks of a level."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.block1 = Block(in_channels, out_channels, kernel)
        self.block2 = Block(out_channels, out_channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return self.block2(self.block1(x))


class MultiHeadLast(Method):
    """Share one plain U-Net between all tasks, except for the last convolution.

    Parameters
    ----------
    num_tasks : int
        Number of structures. A task is the number of a structure, counted from 0.
    width : int
        Channels of the first level, doubled at each of the four levels below.
    kernel : int
        Size of the convolution kernels along each axis, in voxels.
    """

    title = "Multi-Head (Las.)"

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        self.width = width
        widths = level_widths(width)
        self.encoder = nn.ModuleList(
            Level(c_in, c_out, kernel) for c_in, c_out in zip([1, *widths[:-2]], widths[:-1], strict=True)
        )
        self.down = nn.ModuleList(downsample(channels) for channels in widths[:-1])
        self.bottleneck = Level(widths[-2], widths[-1], kernel)
        # from the deepest level up
        self.up = nn.ModuleList(upsample(2 * c, c) for c in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(Level(2 * c, c, kernel) for c in reversed(widths[:-1]))
        self.head = SameConv3d(width, num_tasks, kernel)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        skips = []
        for level, down in zip(self.encoder, self.down, strict=True):
            x = level(x)
            skips.append(x)
            x = down(x)
        x = self.bottleneck(x)
        for level, up in zip(self.decoder, self.up, strict=True):
            x = level(torch.cat([skips.pop(), up(x)], dim=1))
        y_NTDHW = self.head(x)
        return y_NTDHW[torch.arange(len(task), device=task.device), task][:, None]

    def specialise(self, task: int) -> UNet:
        """Return the plain U-Net of one task: only its channel, with batch norm folded in."""
        return fold_network(self, lambda conv: conv.weight, self.head.weight[task : task + 1])
