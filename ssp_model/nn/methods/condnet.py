"""CondNet (Dmitriev & Kaufman, CVPR 2019) on the 3D U-Net of RepMode's table 1: the decoder reads the task as maps.

At each of the four decoder levels, the one-hot task is tiled over space and concatenated to what enters the level's
first convolution. Encoder, bottleneck and last convolution know no task. The original turned the class into one number,
which would put the tasks in an order; RepMode and DoDNet use a one-hot task, and so does this.

With 12 tasks and width 32: 100,872,768 parameters with kernels of 5^3, 23,432,384 with 3^3. A window of
32 x 128 x 128 voxels takes 580 GMAC in training and 549 in prediction; with 3^3 128 and 121.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssp_model.nn.conv import SameConv3d
from ssp_model.nn.method import Method, OneTask
from ssp_model.nn.unet import Decoder, Encoder, Level, folded


class CondNet(Method):
    """Concatenate the task to the features of the decoder.

    Parameters are as of `Method`.
    """

    title = "CondNet"

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        self.encoder = Encoder(width, kernel)
        self.decoder = Decoder(width, kernel, extra=num_tasks)
        self.head = SameConv3d(width, 1, kernel)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        x, skips = self.encoder(x)
        code_NT111 = F.one_hot(task, self.num_tasks)[..., None, None, None]
        for level, up in zip(self.decoder.levels, self.decoder.up, strict=True):
            x = up(x)
            maps = code_NT111.to(x.dtype).expand(-1, -1, *x.shape[2:])
            x = level(torch.cat([skips.pop(), x, maps], dim=1))
        return self.head(x)

    def specialise(self, task: int) -> nn.Module:
        """Return the network of one task, which reads a single map of ones, with batch norm folded in."""
        network = folded(self)
        network.num_tasks = 1
        for level in network.decoder.levels:
            assert isinstance(level, Level)
            conv = level.block1.conv
            features = conv.weight.shape[1] - self.num_tasks
            kept = torch.cat([conv.weight[:, :features], conv.weight[:, features + task, None]], dim=1)
            conv.weight = nn.Parameter(kept, requires_grad=False)
        return OneTask(network, 0)
