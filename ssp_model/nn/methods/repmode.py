"""RepMode (CVPR 2023, arXiv 2212.10066; section 3.1 and supplement): a 3D U-Net whose convolutions are MoDE.

With 12 tasks and width 32 the network has 123,877,633 parameters. A window of 32 x 128 x 128 voxels takes 546 GMAC.

The settings after `width` are those of the paper's ablations, which `config/ablations.py` lists. Not all of their
details are known. These are our choices:

- A convolution without MoDE is a plain one of 5^3 voxels, the same for all tasks. The bottleneck belongs to the
  encoder, the last convolution to the decoder.
- Without a pair of experts, the convolution and the average of this size are missing; of 1^3 there is only the
  convolution. Merged kernels are as large as the largest expert, so 3^3 without the 5^3 pair.
- "No pooling" turns the two pooled experts into convolutions of 1^3 voxels, so there are five experts.
- A Gaussian task embedding is a vector of standard normal numbers for each task. It is as long as a one-hot code, is
  the same in all convolutions, does not learn, and is stored in the model.
- A gate of two layers has 64 hidden units and ReLU between.
- A sigmoid gate takes the place of the softmax; its weights are not divided by their sum.

Shapes: N batch, C channels, T tasks, E experts, D H W voxels. D, H and W must be multiples of 16 (four halvings).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssp_model.nn.conv import SameConv3d
from ssp_model.nn.method import Method
from ssp_model.nn.mode_conv import EXPERTS, Mixture, MoDEConv3d, TaskGroups
from ssp_model.nn.unet import (
    LEVELS,
    UNet,
    decoder_channels,
    downsamplers,
    encoder_channels,
    folded,
    level_widths,
    upsamplers,
)

PLAIN_KERNEL = 5
"""Voxels along each axis of a kernel that is not MoDE."""

Conv = MoDEConv3d | SameConv3d


def new_conv(num_tasks: int, in_channels: int, out_channels: int, mixture: Mixture | None) -> Conv:
    """Return a MoDE convolution; a plain one if there is no mixture."""
    if mixture is None:
        return SameConv3d(in_channels, out_channels, PLAIN_KERNEL)
    return MoDEConv3d(num_tasks, in_channels, out_channels, mixture)


def convolve_groups(conv: Conv, x: Tensor, groups: TaskGroups) -> Tensor:
    """Convolve each sample with the kernel of its task."""
    return conv(x, groups) if isinstance(conv, MoDEConv3d) else conv(x)


def kernel_of(conv: Conv, tasks_T: Tensor) -> nn.Parameter:
    """Return the kernel of one task, (C_out, C_in, D, H, W)."""
    return nn.Parameter(conv.kernels(tasks_T)[0] if isinstance(conv, MoDEConv3d) else conv.weight)


class MoDEBlock(nn.Module):
    """Convolve by MoDE, then batch norm (one for all tasks) and ReLU. Without a mixture, convolve plainly."""

    def __init__(self, num_tasks: int, in_channels: int, out_channels: int, mixture: Mixture | None) -> None:
        super().__init__()
        self.conv = new_conv(num_tasks, in_channels, out_channels, mixture)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor, groups: TaskGroups) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return torch.relu_(self.norm(convolve_groups(self.conv, x, groups)))


class Level(nn.Module):
    """Apply the two blocks of a level."""

    def __init__(self, num_tasks: int, in_channels: int, out_channels: int, mixture: Mixture | None) -> None:
        super().__init__()
        self.block1 = MoDEBlock(num_tasks, in_channels, out_channels, mixture)
        self.block2 = MoDEBlock(num_tasks, out_channels, out_channels, mixture)

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
    mode_in : str
        Which convolutions are MoDE: `both`, or only those of the `encoder` or of the `decoder`.
    experts : sequence of str
        The experts, of `mode_conv.SIZE`. A kind may come several times.
    gate : str
        `softmax` or `sigmoid`.
    gate_layers : int
        1 or 2.
    task_embedding : str
        What the gates read: `one_hot`, or `gaussian`, fixed random vectors.
    """

    title = "RepMode"

    def __init__(
        self,
        num_tasks: int,
        width: int = 32,
        *,
        mode_in: Literal["both", "encoder", "decoder"] = "both",
        experts: Sequence[str] = EXPERTS,
        gate: Literal["softmax", "sigmoid"] = "softmax",
        gate_layers: Literal[1, 2] = 1,
        task_embedding: Literal["one_hot", "gaussian"] = "one_hot",
    ) -> None:
        super().__init__(num_tasks)
        codes = torch.randn(num_tasks, num_tasks) if task_embedding == "gaussian" else None
        mixture = Mixture(tuple(experts), gate, gate_layers, codes)
        in_encoder = None if mode_in == "decoder" else mixture
        in_decoder = None if mode_in == "encoder" else mixture
        self.width = width
        *_, last, deepest = level_widths(width)
        self.encoder = nn.ModuleList(
            Level(num_tasks, c_in, c_out, in_encoder) for c_in, c_out in encoder_channels(width)
        )
        self.down = downsamplers(width)
        self.bottleneck = Level(num_tasks, last, deepest, in_encoder)
        self.up = upsamplers(width)
        self.decoder = nn.ModuleList(Level(num_tasks, 2 * c, c, in_decoder) for c in decoder_channels(width))
        self.head = new_conv(num_tasks, width, 1, in_decoder)

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
        return convolve_groups(self.head, y, groups)[torch.argsort(order)]

    @torch.no_grad()
    def specialise(self, task: int) -> UNet:
        """Return the plain U-Net of one task, with kernels merged and batch norm folded in."""
        tasks_T = torch.tensor([task], device=next(self.parameters()).device)
        with torch.device("meta"):  # all weights are replaced below
            unet = UNet(self.width)
        unet.encoder.down, unet.decoder.up = self.down, self.up
        levels = [*unet.encoder.levels, unet.encoder.bottleneck, *unet.decoder.levels]
        for plain, level in zip(levels, [*self.encoder, self.bottleneck, *self.decoder], strict=True):
            for block, merged in ((plain.block1, level.block1), (plain.block2, level.block2)):
                block.conv.weight, block.norm = kernel_of(merged.conv, tasks_T), merged.norm
        unet.head.weight = kernel_of(self.head, tasks_T)
        return folded(unet)

    def extend(self) -> None:
        """Add a task, with a new 3^3 expert and a gate of its own in each MoDE convolution (RepMode's poster).

        Its kernels merge the experts from the start and its own. Only these new experts and gates learn. Without MoDE
        in a part of the network, the task shares this part with all others.
        """
        self.requires_grad_(requires_grad=False)
        for conv in self.mode_convs().values():
            conv.extend()
        self.num_tasks += 1
        self.train(self.training)

    def mode_convs(self) -> dict[str, MoDEConv3d]:
        """Return the MoDE convolutions from input to output, by their place."""
        levels: list[tuple[str, Any]] = [(f"encoder {i}", level) for i, level in enumerate(self.encoder, start=1)]
        levels += [("bottleneck", self.bottleneck)]
        levels += [(f"decoder {LEVELS - i}", level) for i, level in enumerate(self.decoder)]
        convs = {
            f"{name}, conv {number}": block.conv
            for name, level in levels
            for number, block in ((1, level.block1), (2, level.block2))
        } | {"head": self.head}
        return {name: conv for name, conv in convs.items() if isinstance(conv, MoDEConv3d)}

    @torch.no_grad()
    def inspect(self) -> Mapping[str, Any]:
        """Return how much each task relies on each expert (section 3.3).

        Returns
        -------
        dict
            `gates`: the names of the `experts`, and their `weights` in each MoDE convolution from input to output,
            (T, E). The weights are means over output channels; with softmax, those of a task sum to one. The experts of
            added tasks are the last columns, zero for all other tasks.
        """
        usages = {name: conv.usage() for name, conv in self.mode_convs().items()}
        (experts, _), *_ = usages.values()
        return {
            "gates": {"experts": experts, "weights": {name: usage.cpu().numpy() for name, (_, usage) in usages.items()}}
        }
