"""Mixture of Diverse Experts convolution (RepMode, sections 3.2 and 3.3).

Five experts look at the input at different scales: convolutions of 5^3, 3^3 and 1^3, and a 1^3 convolution
after an average pool of 3^3 and of 5^3. All are linear, so for a given task their gate-weighted sum is one
5^3 kernel: gating re-parameterisation merges them and the network convolves once.

- Kernels are merged once for each distinct task of a batch, not for each sample.
- The four small experts are combined as what they are, 27 voxels at the centre and one value everywhere; only the
  5^3 expert is weighted at full size (`MergeKernels`).
- The batch comes sorted by task (see `TaskGroups`), so that each task's samples are one slice of it.

Shapes: N batch, C channels (I in, O out), D H W voxels, T distinct tasks of the batch, E experts.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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

    def kernels(self, tasks_T: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        """Merged kernel of each of the given tasks, (O, I, 5, 5, 5), in the dtype wanted."""
        gates = dict(zip(EXPERTS, self.gates(tasks_T)[..., None, None].unbind(1), strict=True))
        # (O, K, I): a kernel's K voxels with the input channels last, as the convolution likes them
        experts = {name: expert.permute(0, 2, 3, 4, 1).flatten(1, 3) for name, expert in self.experts.items()}
        centre = gates["conv3"] * experts["conv3"] + gates["pool3"] * (experts["pool3"] / 3**3)
        centre = centre + F.pad(gates["conv1"] * experts["conv1"], (0, 0, 13, 13))
        uniform = gates["pool5"] * (experts["pool5"] / 5**3)
        merged = MergeKernels.apply(gates["conv5"], experts["conv5"], centre, uniform, dtype)
        return tuple(kernel.unflatten(1, (5, 5, 5)).permute(0, 4, 1, 2, 3) for kernel in merged)

    def forward(self, x_NCDHW: Tensor, groups: TaskGroups) -> Tensor:
        """Convolve each sample with its task's kernel; (N, I, D, H, W) to (N, O, D, H, W)."""
        device = x_NCDHW.device.type
        autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        kernels = self.kernels(groups.tasks_T, torch.get_autocast_dtype(device) if autocast else x_NCDHW.dtype)
        if len(kernels) == 1:
            return convolve(x_NCDHW, kernels[0])
        slices = zip(x_NCDHW.split(groups.counts), kernels, strict=True)
        return torch.cat([convolve(x, kernel) for x, kernel in slices])


class MergeKernels(torch.autograd.Function):
    """The gate-weighted 5^3 expert plus the small ones, straight to the dtype of the convolution.

    Full-size float32 kernels, their casts and their zero-filled gradients, which plain operations make, take several
    times longer. Shapes: T tasks, O and I channels, K = 125 voxels of a kernel.
    """

    @staticmethod
    def forward(
        ctx: Any, gate_TO11: Tensor, large_OKI: Tensor, centre_TOKI: Tensor, uniform_TO1I: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        """Merged kernels, T of (O, K, I); the centre has 27 voxels, the uniform part one for all."""
        large_OKI = large_OKI.to(dtype)
        merged = large_OKI * gate_TO11.to(dtype)
        merged.unflatten(2, (5, 5, 5))[:, :, 1:4, 1:4, 1:4] += centre_TOKI.to(dtype).unflatten(2, (3, 3, 3))
        merged += uniform_TO1I.to(dtype)
        ctx.save_for_backward(gate_TO11, large_OKI)
        return merged.unbind(0)

    @staticmethod
    def backward(ctx: Any, *kernel_grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all four, accumulated over tasks in float32."""
        gate_TO11, large_OKI = ctx.saved_tensors
        pick_SK = _small_voxels(gate_TO11.device).to(large_OKI.dtype)
        large_grad = torch.zeros(large_OKI.shape, dtype=gate_TO11.dtype, device=gate_TO11.device)
        gate_grads, small_grads = [], []
        for grad_OKI, gate_O11 in zip(kernel_grads, gate_TO11, strict=True):
            grad_OKI = grad_OKI.contiguous()
            small_grads.append(pick_SK @ grad_OKI)
            gate_grads.append(torch.bmm(grad_OKI.flatten(1)[:, None], large_OKI.flatten(1)[:, :, None]))
            large_grad.addcmul_(grad_OKI.to(large_grad.dtype), gate_O11)
        small_grad = torch.stack(small_grads).to(large_grad.dtype)
        gate_grad = torch.stack(gate_grads).to(large_grad.dtype)
        return gate_grad, large_grad, small_grad[:, :, :27], small_grad[:, :, 27:], None


@lru_cache
def _small_voxels(device: torch.device) -> Tensor:
    """Which of 125 voxels each part of a small kernel covers, (28, 125): one each of the centre's 27, then all."""
    covered = torch.zeros(28, 5, 5, 5)
    part = torch.arange(27)
    covered[part, 1 + part // 9, 1 + part // 3 % 3, 1 + part % 3] = 1
    covered[27] = 1
    return covered.flatten(1).to(device)


def convolve(x_NCDHW: Tensor, kernel_OIDHW: Tensor) -> Tensor:
    """A 5^3 convolution that keeps the size, (N, I, D, H, W) to (N, O, D, H, W)."""
    in_bf16 = x_NCDHW.dtype is torch.bfloat16 or torch.is_autocast_enabled("cpu")
    if x_NCDHW.device.type == "cpu" and in_bf16 and x_NCDHW.shape[2] < 5:
        # oneDNN 3.12 (torch 2.13, AVX-512 bf16) gives wrong weight gradients, NaN at times, for an input of fewer
        # planes than the kernel that it pads itself; padded beforehand they are right
        return F.conv3d(F.pad(x_NCDHW, (0, 0, 0, 0, 2, 2)), kernel_OIDHW, padding=(0, 2, 2))
    return F.conv3d(x_NCDHW, kernel_OIDHW, padding=2)
