"""DoDNet (Zhang et al., CVPR 2021) on the 3D U-Net of RepMode's table 1: the last layers' weights come from the task.

The output of the bottleneck, averaged over space, and the one-hot task enter a linear map, the controller. It gives the
153 numbers of three convolutions of 1^3, 8-8-8-1 channels, with ReLU between, which take the place of the last
convolution. So the weights depend on the patch and on the task. They read 8 channels, made from the decoder's output.

With 12 tasks and width 32: 100,229,357 parameters with kernels of 5^3, 23,356,589 with 3^3. A window of
32 x 128 x 128 voxels takes 544 GMAC, or 120.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssp_model.nn.method import Method
from ssp_model.nn.unet import Decoder, Encoder, level_widths

CHANNELS = (8, 8, 8, 1)
"""Channels between the generated convolutions, from their input to their output."""


class DoDNet(Method):
    """Generate the last convolutions from the task and the image.

    Parameters are as of `Method`.
    """

    title = "DoDNet"

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        self.encoder = Encoder(width, kernel)
        self.decoder = Decoder(width, kernel)
        self.squeeze = nn.Conv3d(width, CHANNELS[0], kernel_size=1)
        self.sizes = [c_in * c_out for c_in, c_out in pairwise(CHANNELS)] + [*CHANNELS[1:]]
        self.controller = nn.Linear(level_widths(width)[-1] + num_tasks, sum(self.sizes))

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        x, skips = self.encoder(x)
        weights, biases = self.generate(x, task)
        x = self.squeeze(self.decoder(x, skips))
        # voxels as rows: (N, D H W, channels)
        y = x.permute(0, 2, 3, 4, 1).flatten(1, 3)
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            y = torch.baddbmm(bias.to(y.dtype), F.relu(y) if number else y, weight.to(y.dtype))
        return y.reshape(x.shape[0], 1, *x.shape[2:])

    def generate(self, x: Tensor, task: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return weights (N, C_in, C_out) and biases (N, 1, C_out) of the last convolutions, from the bottleneck's x.

        In float32, also in mixed precision.
        """
        with torch.autocast(x.device.type, enabled=False):
            pooled = x.mean(dim=(2, 3, 4), dtype=torch.promote_types(x.dtype, torch.float32))
            code = F.one_hot(task, self.num_tasks).to(pooled.dtype)
            parts = self.controller(torch.cat([pooled, code], dim=1)).split(self.sizes, dim=1)
        weights = [
            part.view(-1, c_out, c_in).transpose(1, 2)
            for part, (c_in, c_out) in zip(parts, pairwise(CHANNELS), strict=False)
        ]
        return weights, [part[:, None] for part in parts[len(weights) :]]
