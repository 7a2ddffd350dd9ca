"""RepMode (CVPR 2023, arXiv 2212.10066; section 3.1 and supplement): a 3D U-Net whose convolutions are MoDE.

With 12 tasks and width 32 the network has 123,877,633 parameters. A window of 32 x 128 x 128 voxels takes 546 GMAC.

Shapes: N batch, C channels, T tasks, E experts, D H W voxels. D, H and W must be multiples of 16 (four halvings).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ssp_model.nn.method import Method
from ssp_model.nn.mode_conv import EXPERTS, MoDEConv3d, TaskGroups
from ssp_model.nn.unet import LEVELS, UNet, downsample, folded, level_widths, upsample


class MoDEBlock(nn.Module):
    """Convolve by MoDE, then batch norm (one for all tasks) and ReLU."""

    def __init__(self, num_tasks: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = MoDEConv3d(num_tasks, in_channels, out_channels)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor, groups: TaskGroups) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return torch.relu_(self.norm(self.conv(x, groups)))


class Level(nn.Module):
    """Apply the two MoDE blocks of a level."""

    def __init__(self, num_tasks: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block1 = MoDEBlock(num_tasks, in_channels, out_channels)
        self.block2 = MoDEBlock(num_tasks, out_channels, out_channels)

    def forward(self, x: Tensor, groups: TaskGroups) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return self.block2(self.block1(x, groups), groups)


class RepMode(Method):
    """Merge five experts into one kernel for each task, in every convolution.

    Parameters
    ----------
    num_tasks : int
        Number of structures. A task is the number of a structure, counted from 0.
    width : int
        Channels of the first level, doubled at each of the four levels below; 32 as published.
    """

    title = "RepMode"

    def __init__(self, num_tasks: int, width: int = 32) -> None:
        super().__init__(num_tasks)
        self.width = width
        widths = level_widths(width)
        self.encoder = nn.ModuleList(
            Level(num_tasks, c_in, c_out) for c_in, c_out in zip([1, *widths[:-2]], widths[:-1], strict=True)
        )
        self.down = nn.ModuleList(downsample(channels) for channels in widths[:-1])
        self.bottleneck = Level(num_tasks, widths[-2], widths[-1])
        # from the deepest level up
        self.up = nn.ModuleList(upsample(2 * c, c) for c in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(Level(num_tasks, 2 * c, c) for c in reversed(widths[:-1]))
        self.head = MoDEConv3d(num_tasks, width, 1)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
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
    def specialise(self, task: int) -> UNet:
        """Return the plain U-Net of one task, with kernels merged and batch norm folded in."""
        device = self.head.gate.weight.device
        tasks_T = torch.tensor([task], device=device)
        with torch.device("meta"):  # all weights are replaced below
            unet = UNet(self.width)
        unet.encoder.down, unet.decoder.up = self.down, self.up
        levels = [*unet.encoder.levels, unet.encoder.bottleneck, *unet.decoder.levels]
        for plain, level in zip(levels, [*self.encoder, self.bottleneck, *self.decoder], strict=True):
            for block, merged in ((plain.block1, level.block1), (plain.block2, level.block2)):
                block.conv.weight, block.norm = nn.Parameter(merged.conv.kernels(tasks_T)[0]), merged.norm
        unet.head.weight = nn.Parameter(self.head.kernels(tasks_T)[0])
        return folded(unet)

    @torch.no_grad()
    def inspect(self) -> Mapping[str, Any]:
        """Return how much each task relies on each expert (section 3.3).

        Returns
        -------
        dict
            `gates`: the names of the `experts`, and their `weights` in each convolution from input to output, (T, E).
            The weights are means over output channels; the weights of a task sum to one.
        """
        levels: list[tuple[str, Any]] = [(f"encoder {i}", level) for i, level in enumerate(self.encoder, start=1)]
        levels += [("bottleneck", self.bottleneck)]
        levels += [(f"decoder {LEVELS - i}", level) for i, level in enumerate(self.decoder)]
        convs = {
            f"{name}, conv {number}": block.conv
            for name, level in levels
            for number, block in ((1, level.block1), (2, level.block2))
        } | {"head": self.head}
        tasks_T = torch.arange(self.num_tasks, device=self.head.gate.weight.device)
        weights = {name: conv.gates(tasks_T).mean(dim=2).cpu().numpy() for name, conv in convs.items()}
        return {"gates": {"experts": EXPERTS, "weights": weights}}
