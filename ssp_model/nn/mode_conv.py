"""Mixture of Diverse Experts convolution (RepMode, sections 3.2 and 3.3).

Five experts look at the input at different scales: convolutions of 5^3, 3^3 and 1^3, and a 1^3 convolution
after an average pool of 3^3 and of 5^3. All are linear, so for a given task their gate-weighted sum is one
5^3 kernel: gating re-parameterisation merges them and the network convolves once.

- Kernels are merged once for each distinct task of a batch, not for each sample.
- An expert touches only what it covers: the 3^3 ones the centre, a pooled one every voxel by broadcasting.
- The batch comes sorted by task (see `TaskGroups`), so that each task's samples are one slice of it.

Shapes: N batch, C channels (I in, O out), D H W voxels, T distinct tasks of the batch, E experts.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXPERTS = ("conv5", "conv3", "conv1", "pool3", "pool5")
"""The experts, in the order of the gate's outputs."""

KERNEL_SIZE = {"conv5": 5, "conv3": 3, "conv1": 1, "pool3": 1, "pool5": 1}


@dataclass(frozen=True)
class TaskGroups:
    """The distinct tasks of a batch that is sorted by task.

    Attributes
    ----------
    tasks_T : Tensor
        The distinct tasks, ascending, int64.
    counts : tuple of int
        How many samples each has, in the same order.
    """

    tasks_T: Tensor
    counts: tuple[int, ...]


class MoDEConv3d(nn.Module):
    """Five experts, merged into one 5x5x5 kernel a task by gating re-parameterisation."""

    def __init__(self, tasks: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.tasks, self.out_channels = tasks, out_channels
        self.experts = nn.ParameterDict(
            {name: nn.Parameter(torch.empty(out_channels, in_channels, *(KERNEL_SIZE[name],) * 3)) for name in EXPERTS}
        )
        for expert in self.experts.values():
            nn.init.kaiming_uniform_(expert, a=math.sqrt(5))
        self.gate = nn.Linear(tasks, len(EXPERTS) * out_channels)

    def gates(self, tasks_T: Tensor) -> Tensor:
        """Weights of the experts, (T, E, O), summing to one over E; always float32."""
        # a linear layer of one-hot tasks picks columns
        logits = self.gate.weight.t()[tasks_T] + self.gate.bias
        return logits.view(-1, len(EXPERTS), self.out_channels).softmax(dim=1)

    def kernels(self, tasks_T: Tensor) -> Tensor:
        """Merged kernels of the given tasks, (T, O, I, 5, 5, 5)."""
        gates = dict(zip(EXPERTS, self.gates(tasks_T)[..., None, None, None, None].unbind(1), strict=True))
        uniform = gates["pool5"] * (self.experts["pool5"] / 5**3)
        centre = gates["conv3"] * self.experts["conv3"] + gates["pool3"] * (self.experts["pool3"] / 3**3)
        centre = centre + F.pad(gates["conv1"] * self.experts["conv1"], (1,) * 6)
        return gates["conv5"] * self.experts["conv5"] + F.pad(centre, (1,) * 6) + uniform

    def forward(self, x_NCDHW: Tensor, groups: TaskGroups) -> Tensor:
        """Convolve each sample with its task's kernel; (N, I, D, H, W) to (N, O, D, H, W)."""
        kernels = self.kernels(groups.tasks_T)
        slices = zip(x_NCDHW.split(groups.counts), kernels.unbind(0), strict=True)
        return torch.cat([convolve(x, kernel) for x, kernel in slices])


def convolve(x_NCDHW: Tensor, kernel_OIDHW: Tensor) -> Tensor:
    """A 5^3 convolution that keeps the size, (N, I, D, H, W) to (N, O, D, H, W)."""
    in_bf16 = x_NCDHW.dtype is torch.bfloat16 or torch.is_autocast_enabled("cpu")
    if x_NCDHW.device.type == "cpu" and in_bf16 and x_NCDHW.shape[2] < 5:
        # oneDNN 3.12 (torch 2.13, AVX-512 bf16) gives wrong weight gradients, NaN at times, for an input of fewer
        # planes than the kernel that it pads itself; padded beforehand they are right
        return F.conv3d(F.pad(x_NCDHW, (0, 0, 0, 0, 2, 2)), kernel_OIDHW, padding=(0, 2, 2))
    return F.conv3d(x_NCDHW, kernel_OIDHW, padding=2)
