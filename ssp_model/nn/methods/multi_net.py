"""Multi-Net of RepMode's table 1: a plain 3D U-Net for each structure, trained on the images of this structure alone.

The workflow trains each in a job of its own, chooses each by its own validation images, and joins them into one model.

With 12 tasks and width 32: 12 x 100,152,768 = 1,201,833,216 parameters with kernels of 5^3, 279,322,368 with 3^3. A
window of 32 x 128 x 128 voxels takes 546 GMAC, or 120.
"""

from torch import Tensor, nn

from ssp_model.nn.method import Method, groups_of, in_order, zero_of
from ssp_model.nn.unet import UNet, folded


class MultiNet(Method):
    """A network for each task.

    Parameters are as of `Method`.
    """

    title = "Multi-Net"
    alone = True
    in_one_process = True

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        self.networks = nn.ModuleList(UNet(width, kernel) for _ in range(num_tasks))

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        groups = groups_of(task)
        y = in_order({number: self.networks[number](x[samples]) for number, samples in groups.items()}, groups)
        if self.training:
            y = y + zero_of([network for number, network in enumerate(self.networks) if number not in groups])
        return y

    def specialise(self, task: int) -> nn.Module:
        """Return the network of one task, with batch norm folded in."""
        return folded(self.networks[task])
