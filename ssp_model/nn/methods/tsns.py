"""TSNs, task switching networks (Sun et al., ICCV 2021), on the 3D U-Net of RepMode's table 1.

The task becomes an embedding. In each convolution of the decoder, and in a 1^3 convolution on each skip and on the
output of the bottleneck, the embedding sets scale and shift after an instance norm. The encoder knows no task.

The published network has an encoder trained on ImageNet, and parameter-free upsampling; this one has encoder,
bottleneck, upsampling and last convolution of the 3D U-Net. As published, the vectors of the tasks are orthogonal and
binary, 20 ones for each task, and linear layers draw weights from N(0, 1) and scale them when they run.

With 12 tasks and width 32: 101,905,568 parameters with kernels of 5^3, 25,029,664 with 3^3. A window of
32 x 128 x 128 voxels takes 547 GMAC, or 122.

Shapes: N batch, C channels, T tasks, E embedding, D H W voxels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssp_model.nn.conv import SameConv3d
from ssp_model.nn.method import Method
from ssp_model.nn.unet import Encoder, decoder_channels, level_widths, upsamplers

ONES_A_TASK = 20
"""Ones in the vector of a task; the embedding has as many numbers for each task."""
EMBEDDING_LAYERS = 8


class EqualisedLinear(nn.Module):
    """Linear layer whose weights are drawn from N(0, 1), and multiplied by sqrt(2 / inputs) when it runs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = math.sqrt(2 / inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        return F.linear(x, self.weight * self.scale, self.bias)


class Embedding(nn.Module):
    """Turn a task into its embedding."""

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.size = ONES_A_TASK * num_tasks
        self.layers = nn.ModuleList(EqualisedLinear(self.size, self.size) for _ in range(EMBEDDING_LAYERS))

    def forward(self, task: Tensor) -> Tensor:
        """Return the embedding of each sample's task, (N, E), in float32 also in mixed precision."""
        with torch.autocast(task.device.type, enabled=False):
            x = F.one_hot(task, self.size // ONES_A_TASK).repeat_interleave(ONES_A_TASK, dim=1)
            x = x.to(next(self.parameters()).dtype)
            x = x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
            for layer in self.layers:
                x = F.leaky_relu(layer(x), 0.2)
        return x


class ConditionalBlock(nn.Module):
    """Convolve, then instance norm, scale and shift from the embedding, leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, embedding: int) -> None:
        super().__init__()
        self.conv = SameConv3d(in_channels, out_channels, kernel, bias=True)
        self.affine = EqualisedLinear(embedding, 2 * out_channels)
        nn.init.ones_(self.affine.bias[:out_channels])

    def forward(self, x: Tensor, embedding_NE: Tensor) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        x = self.conv(x)
        with torch.autocast(x.device.type, enabled=False):
            scale_NC111, shift_NC111 = self.affine(embedding_NE)[..., None, None, None].chunk(2, dim=1)
            # a group norm with as many groups as channels is an instance norm
            x = torch.group_norm(x.to(scale_NC111.dtype), x.shape[1])
            return F.leaky_relu_(torch.addcmul(shift_NC111, x, scale_NC111), 0.01)


class ConditionalLevel(nn.Module):
    """Apply the two blocks of a decoder level."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, embedding: int) -> None:
        super().__init__()
        self.block1 = ConditionalBlock(in_channels, out_channels, kernel, embedding)
        self.block2 = ConditionalBlock(out_channels, out_channels, kernel, embedding)

    def forward(self, x: Tensor, embedding_NE: Tensor) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
        return self.block2(self.block1(x, embedding_NE), embedding_NE)


class TSNs(Method):
    """Scale and shift the features of the decoder and of the skips, as the task says.

    Parameters are as of `Method`.
    """

    title = "TSNs"

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        *widths, deepest = level_widths(width)
        self.embedding = Embedding(num_tasks)
        size = self.embedding.size
        self.encoder = Encoder(width, kernel)
        self.skips = nn.ModuleList(ConditionalBlock(channels, channels, 1, size) for channels in widths)
        self.bottleneck = ConditionalBlock(deepest, deepest, 1, size)
        self.up = upsamplers(width)
        self.decoder = nn.ModuleList(ConditionalLevel(2 * c, c, kernel, size) for c in decoder_channels(width))
        self.head = SameConv3d(width, 1, kernel)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        embedding_NE = self.embedding(task)
        x, skips = self.encoder(x)
        x = self.bottleneck(x, embedding_NE)
        for level, up, conditional in zip(self.decoder, self.up, reversed(self.skips), strict=True):
            skip = conditional(skips.pop(), embedding_NE)
            x = level(torch.cat([skip, up(x).to(skip.dtype)], dim=1), embedding_NE)
        return self.head(x)
