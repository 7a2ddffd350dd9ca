"""TGNet-style (after TGNet: Wu, Pang, Sowmya, ISBI 2022) on the 3D U-Net of RepMode's table 1: a reconstruction.

Only the abstract was at hand: a task-guided residual block and a task-guided attention module each join features of the
image with the task, to suppress what belongs to other tasks and to stress what belongs to this one. Where they sit and
how they are built is a choice of this project. Until somebody compares it with the paper, it is not TGNet.

- Residual block, in the place of the two convolutions of each level: the second convolution's output, averaged over
  space, and the one-hot task give each channel a factor between 0 and 1; then a shortcut of 1^3 is added.
- Attention, on each skip: skip, upsampled features and task give each voxel a factor between 0 and 1.

With 12 tasks and width 32: 100,818,676 parameters with kernels of 5^3, 23,942,772 with 3^3. A window of
32 x 128 x 128 voxels takes 550 GMAC, or 124.

Shapes: N batch, C channels, T tasks, D H W voxels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssp_model.nn.conv import SameConv3d
from ssp_model.nn.method import Method
from ssp_model.nn.unet import Block, decoder_channels, downsamplers, encoder_channels, level_widths, upsamplers


class GuidedLevel(nn.Module):
    """Two convolutions, gated by task and image, with a shortcut."""

    def __init__(self, num_tasks: int, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.block1 = Block(in_channels, out_channels, kernel)
        self.block2 = Block(out_channels, out_channels, kernel, relu=False)
        self.shortcut = Block(in_channels, out_channels, 1, relu=False)
        hidden = max(out_channels // 4, 1)
        self.squeeze = nn.Linear(out_channels + num_tasks, hidden)
        self.gate = nn.Linear(hidden, out_channels)

    def forward(self, x: Tensor, code_NT: Tensor) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        y = self.block2(self.block1(x))
        with torch.autocast(y.device.type, enabled=False):
            pooled_NC = y.mean(dim=(2, 3, 4), dtype=code_NT.dtype)
            gate_NC = torch.sigmoid(self.gate(F.relu(self.squeeze(torch.cat([pooled_NC, code_NT], dim=1)))))
        return torch.relu_(torch.addcmul(self.shortcut(x), y, gate_NC[..., None, None, None].to(y.dtype)))


class GuidedAttention(nn.Module):
    """Weight the voxels of a skip by task, skip and what comes from below."""

    def __init__(self, num_tasks: int, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.of_skip = SameConv3d(channels, hidden, 1)
        self.of_up = SameConv3d(channels, hidden, 1)
        self.of_code = nn.Linear(num_tasks, hidden)
        self.map = SameConv3d(hidden, 1, 1, bias=True)

    def forward(self, skip: Tensor, up: Tensor, code_NT: Tensor) -> Tensor:
        """Return the weighted skip, (N, C, D, H, W)."""
        hidden = self.of_skip(skip) + self.of_up(up)
        hidden = hidden + self.of_code(code_NT)[..., None, None, None].to(hidden.dtype)
        return torch.sigmoid(self.map(torch.relu_(hidden))) * skip


class TGNet(Method):
    """Gate the channels of each level, and the voxels of each skip, by the task and the image.

    Parameters are as of `Method`.
    """

    title = "TGNet-style"

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        *_, last, deepest = level_widths(width)
        self.encoder = nn.ModuleList(
            GuidedLevel(num_tasks, c_in, c_out, kernel) for c_in, c_out in encoder_channels(width)
        )
        self.down = downsamplers(width)
        self.bottleneck = GuidedLevel(num_tasks, last, deepest, kernel)
        self.up = upsamplers(width)
        self.attention = nn.ModuleList(GuidedAttention(num_tasks, c) for c in decoder_channels(width))
        self.decoder = nn.ModuleList(GuidedLevel(num_tasks, 2 * c, c, kernel) for c in decoder_channels(width))
        self.head = SameConv3d(width, 1, kernel)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        code_NT = F.one_hot(task, self.num_tasks).to(self.head.weight.dtype)
        skips = []
        for level, down in zip(self.encoder, self.down, strict=True):
            x = level(x, code_NT)
            skips.append(x)
            x = down(x)
        x = self.bottleneck(x, code_NT)
        for level, up, attention in zip(self.decoder, self.up, self.attention, strict=True):
            x = up(x)
            x = level(torch.cat([attention(skips.pop(), x, code_NT), x], dim=1), code_NT)
        return self.head(x)
