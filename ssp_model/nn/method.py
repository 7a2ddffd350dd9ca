"""What the rest of the package needs from a method's network.

Shapes: N batch, T tasks, D H W voxels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn


class Method(nn.Module, ABC):
    """Network that predicts several structures.

    The constructor takes the number of tasks and, by keyword, the settings of the method (`model` in the config). Each
    spatial size of the input is a multiple of `unet.STRIDE`.

    Parameters
    ----------
    num_tasks : int
        Number of structures. A task is the number of a structure, counted from 0.
    """

    title: ClassVar[str]
    """What people call the method; its name in RepMode's paper if it has one there."""

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.num_tasks = num_tasks

    @abstractmethod
    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task.

        A batch may mix tasks, in training and in evaluation. The output of a sample does not depend on the tasks of
        other samples.

        Parameters
        ----------
        x : Tensor
            Standardised transmitted light, (N, 1, D, H, W).
        task : Tensor
            Task of each sample, (N,), int64.

        Returns
        -------
        Tensor
            Standardised fluorescence, (N, 1, D, H, W).
        """

    @abstractmethod
    def specialise(self, task: int) -> nn.Module:
        """Return the cheapest network that computes one task in evaluation: (N, 1, D, H, W) to the same shape.

        It has weights of its own, on the device of this network.
        """

    def inspect(self) -> Mapping[str, Any]:
        """Return what a report may draw: `gates`, with the names of the `experts` and their `weights`, or nothing."""
        return {}
