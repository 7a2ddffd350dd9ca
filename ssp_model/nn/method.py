"""What the rest of the package asks of a method's network.

Shapes: N batch, T tasks, D H W voxels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class Method(nn.Module, ABC):
    """A network that predicts several structures.

    Its constructor takes the number of tasks and, by keyword, the settings of the method (`model` in the config).
    Each size of its input is a multiple of `unet.STRIDE`.

    Parameters
    ----------
    num_tasks : int
        Number of structures; a task is the index of one.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.num_tasks = num_tasks

    @abstractmethod
    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict the structure asked of each sample.

        A batch may mix tasks, in training and in evaluation; a sample's output depends on no other sample's task.

        Parameters
        ----------
        x : Tensor
            Standardised transmitted light, (N, 1, D, H, W).
        task : Tensor
            The structure wanted of each sample, (N,), int64.

        Returns
        -------
        Tensor
            Standardised fluorescence, (N, 1, D, H, W).
        """

    @abstractmethod
    def specialise(self, task: int) -> nn.Module:
        """Return the cheapest network that computes one task in evaluation: (N, 1, D, H, W) to the same shape.

        It has its own weights, on this network's device.
        """

    def inspect(self) -> Mapping[str, Any]:
        """Return what a report may draw: `gates` with the names of `experts` and their `weights`, or nothing."""
        return {}
