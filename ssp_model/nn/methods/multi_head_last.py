"""Multi-Head (Las.) of RepMode's table 1: a plain 3D U-Net whose last convolution has a channel for each task.

The tasks share everything but the last convolution. A sample trains the channel of its own structure; others get no
loss.

With 12 tasks and width 32: 100,196,768 parameters with kernels of 5^3 (the paper does not say which it used; 5^3 has
the topology of RepMode), 23,286,368 with 3^3. A window of 32 x 128 x 128 voxels takes 569 GMAC in training, 546 in
prediction; with 3^3 125 and 120.
"""

import torch
from torch import Tensor

from ssp_model.nn.method import Method
from ssp_model.nn.unet import UNet, folded


class MultiHeadLast(Method):
    """Share one plain U-Net between all tasks, except for the last convolution.

    Parameters are as of `Method`.
    """

    title = "Multi-Head (Las.)"

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        self.unet = UNet(width, kernel, outputs=num_tasks)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        y_NTDHW = self.unet(x)
        return y_NTDHW[torch.arange(len(task), device=task.device), task][:, None]

    def specialise(self, task: int) -> UNet:
        """Return the plain U-Net of one task: only its channel, with batch norm folded in."""
        unet = folded(self.unet)
        unet.head.weight = torch.nn.Parameter(unet.head.weight[task : task + 1].clone(), requires_grad=False)
        return unet
