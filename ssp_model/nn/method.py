"""What the rest of the package needs from a method's network.

Shapes: N batch, T tasks, D H W voxels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ssp_model.nn.unet import folded


class Method(nn.Module, ABC):
    """Network that predicts several structures.

    The constructor takes the number of tasks and, by keyword, the settings of the method (`model` in the config). Each
    spatial size of the input is a multiple of `unet.STRIDE`.

    Parameters
    ----------
    num_tasks : int
        Number of structures. A task is the number of a structure, counted from 0.
    width : int
        A setting of all methods: channels of the first level, doubled at each of the four levels below.
    kernel : int
        A setting of those on the plain U-Net: size of the convolution kernels along each axis, in voxels.
    """

    title: ClassVar[str]
    """What people call the method; its name in RepMode's paper if it has one there."""

    alone: ClassVar[bool] = False
    """Each structure has a network of its own, an entry of `networks` (a ModuleList). The workflow trains each in a job
    of its own, and joins them."""

    in_one_process: ClassVar[bool] = False
    """Several processes can't share a batch: some batch norms see only the crops of one task."""

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.num_tasks = num_tasks

    @abstractmethod
    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task.

        A batch may mix tasks, in training and in evaluation. In evaluation, the output of a sample does not depend on
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

    def supervised(self, x: Tensor, task: Tensor) -> Sequence[tuple[Tensor, float]]:
        """Return what the training compares with the target: predictions as `forward` gives, with their weights.

        The first is what `forward` predicts, with weight 1.
        """
        return [(self(x, task), 1.0)]

    def specialise(self, task: int) -> nn.Module:
        """Return the cheapest network that computes one task in evaluation: (N, 1, D, H, W) to the same shape.

        It has weights of its own, on the device of this network. Without more knowledge of a method, it is the network
        itself with each batch norm folded into the convolution before it.
        """
        return OneTask(folded(self), task)

    def extend(self) -> None:
        """Add one task, the last. From then on only what is new learns; the tasks before predict as before, to the bit.

        Raises
        ------
        NotImplementedError
            The method has no such way.
        """
        raise NotImplementedError

    def inspect(self) -> Mapping[str, Any]:
        """Return what a report may draw: `gates`, with the names of the `experts` and their `weights`, or nothing."""
        return {}

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 as torch has it
        """Set training or evaluation mode. A frozen batch norm always stays in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.weight.requires_grad:
                module.eval()
        return self


class OneTask(nn.Module):
    """A network of a method that is always asked for the same task."""

    def __init__(self, network: Method, task: int) -> None:
        super().__init__()
        self.network, self.task = network, task

    def forward(self, x: Tensor) -> Tensor:
        """Predict (N, 1, D, H, W) from the same shape."""
        return self.network(x, torch.full((x.shape[0],), self.task, device=x.device))


def groups_of(task: Tensor) -> dict[int, Tensor]:
    """Return the samples of each task of a batch, (N_task,), by task."""
    return {number: (task == number).nonzero().squeeze(1) for number in task.unique().tolist()}


def in_order(parts: Mapping[int, Tensor], groups: Mapping[int, Tensor]) -> Tensor:
    """Put the outputs of each task's samples, (N_task, ...), into the order of the batch, (N, ...)."""
    order = torch.argsort(torch.cat([groups[number] for number in parts]))
    return torch.cat(list(parts.values()))[order]


def zero_of(modules: Sequence[nn.Module]) -> Tensor | float:
    """Return zero, computed from all parameters of modules, so that each gets a gradient of zero.

    Adam then moves the parameters of tasks that a batch lacks by their momentum, as it moves those that all tasks share
    a tensor for, and as the torch of the published training did.
    """
    return sum(parameter.sum() * 0 for module in modules for parameter in module.parameters())
