"""The network of RepMode (section 3.1 and supplement): a 3D U-Net whose convolutions are MoDE.

Shapes: N batch, C channels, D H W voxels. D, H and W must be multiples of 16 (four halvings).
"""

from typing import Any

import torch
from torch import Tensor, nn

from ssp_model.nn.mode_conv import MoDEConv3d, TaskGroups
from ssp_model.nn.unet import UNet, fold

LEVELS = 4
STRIDE = 2**LEVELS
"""Each spatial size of the input must be a multiple of this."""


class MoDEBlock(nn.Module):
    """MoDE convolution, batch norm (one for all tasks), ReLU."""

    def __init__(self, tasks: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = MoDEConv3d(tasks, in_channels, out_channels)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor, groups: TaskGroups) -> Tensor:
        """(N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return torch.relu_(self.norm(self.conv(x, groups)))


class Level(nn.Module):
    """The two MoDE blocks of a level."""

    def __init__(self, tasks: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block1 = MoDEBlock(tasks, in_channels, out_channels)
        self.block2 = MoDEBlock(tasks, out_channels, out_channels)

    def forward(self, x: Tensor, groups: TaskGroups) -> Tensor:
        """(N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return self.block2(self.block1(x, groups), groups)


def downsample(channels: int) -> nn.Sequential:
    """Halve the resolution: strided convolution, batch norm, ReLU."""
    conv = nn.Conv3d(channels, channels, kernel_size=2, stride=2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(channels), nn.ReLU(inplace=True))


def upsample(in_channels: int, out_channels: int) -> nn.Sequential:
    """Double the resolution: transposed convolution, batch norm, ReLU."""
    conv = nn.ConvTranspose3d(in_channels, out_channels, kernel_size=2, stride=2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True))


class RepMode(nn.Module):
    """Predict the fluorescence image of one structure a sample from its transmitted-light image.

    Parameters
    ----------
    tasks : int
        How many structures; a task is the index of one.
    width : int
        Channels of the first level, doubled on each of the four below; 32 as published.
    """

    def __init__(self, tasks: int, width: int = 32) -> None:
        super().__init__()
        self.tasks, self.width = tasks, width
        widths = [width * 2**level for level in range(LEVELS + 1)]
        self.encoder = nn.ModuleList(
            Level(tasks, c_in, c_out) for c_in, c_out in zip([1, *widths[:-2]], widths[:-1], strict=True)
        )
        self.down = nn.ModuleList(downsample(channels) for channels in widths[:-1])
        self.bottleneck = Level(tasks, widths[-2], widths[-1])
        # from the deepest level up
        self.up = nn.ModuleList(upsample(2 * c, c) for c in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(Level(tasks, 2 * c, c) for c in reversed(widths[:-1]))
        self.head = MoDEConv3d(tasks, width, 1)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predicted fluorescence, standardised.

        Parameters
        ----------
        x : Tensor
            Standardised transmitted light, (N, 1, D, H, W); D, H, W multiples of 16.
        task : Tensor
            The structure wanted of each sample, (N,) int64; a batch may mix them, in training and evaluation.

        Returns
        -------
        Tensor
            (N, 1, D, H, W).
        """
        order = torch.argsort(task, stable=True)
        tasks_T, counts = torch.unique_consecutive(task[order], return_counts=True)
        groups = TaskGroups(tasks_T, tuple(counts.tolist()))
        y = x[order]
        skips = []
        for level, down in zip(self.encoder, self.down, strict=True):
            y = level(y, groups)
            skips.append(y)
            y = down(y)
        y = self.bottleneck(y, groups)
        for level, up in zip(self.decoder, self.up, strict=True):
            y = level(torch.cat([skips.pop(), up(y)], dim=1), groups)
        return self.head(y, groups)[torch.argsort(order)]

    @torch.no_grad()
    def gates(self) -> dict[str, Tensor]:
        """How much each task relies on each expert (section 3.3): by convolution, from the input to the output.

        Returns
        -------
        dict
            Weights of the experts, mean over output channels, (T, E); those of a task sum to one.
        """
        named: list[tuple[str, Any]] = [(f"encoder {i}", level) for i, level in enumerate(self.encoder, start=1)]
        named += [("bottleneck", self.bottleneck)]
        named += [(f"decoder {LEVELS - i}", level) for i, level in enumerate(self.decoder)]
        convs = {
            f"{name}, conv {number}": block.conv
            for name, level in named
            for number, block in ((1, level.block1), (2, level.block2))
        }
        tasks_T = torch.arange(self.tasks, device=self.head.gate.weight.device)
        return {name: conv.gates(tasks_T).mean(dim=2) for name, conv in (convs | {"head": self.head}).items()}

    @torch.no_grad()
    def specialise(self, task: int) -> UNet:
        """The plain U-Net that this network is, in evaluation, for one task: kernels merged, batch norm folded in.

        It has its own weights, on this network's device.
        """
        device = self.head.gate.weight.device
        unet = UNet(self.width, LEVELS).to(device)
        tasks_T = torch.tensor([task], device=device)
        levels: list[Any] = [*zip(unet.encoder, self.encoder, strict=True), (unet.bottleneck, self.bottleneck)]
        for pair, level in [*levels, *zip(unet.decoder, self.decoder, strict=True)]:
            # a pair's convolutions stand before its ReLUs
            for conv, block in ((pair[0], level.block1), (pair[2], level.block2)):
                fold(conv, block.conv.kernels(tasks_T)[0], block.norm)
        samplers: list[Any] = [*zip(unet.down, self.down, strict=True), *zip(unet.up, self.up, strict=True)]
        for conv, (plain, norm, _) in samplers:
            fold(conv, plain.weight, norm)
        unet.head.weight.copy_(self.head.kernels(tasks_T)[0])
        return unet.eval()
