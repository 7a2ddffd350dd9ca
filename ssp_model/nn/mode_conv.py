"""Mixture of Diverse Experts convolution (RepMode, sections 3.2 and 3.3).

Five experts look at the input at different scales: convolutions of 5^3, 3^3 and 1^3 voxels, and a 1^3 convolution after
an average pool of 3^3 and of 5^3. All are linear, so for a given task their sum, weighted by the gates, is one 5^3
kernel. Gating re-parameterisation merges the experts into this kernel, and the network convolves once.

- Kernels are merged once for each distinct task of a batch, not for each sample.
- The four small experts are merged at their own size: 27 voxels at the centre, and one value everywhere. Only the 5^3
  expert is weighted at full size (`MergeKernels`).
- Voxels of a kernel that could only meet padding are left out (`reach`).
- The batch is sorted by task (`TaskGroups`), so the samples of a task are one slice of it.

Shapes: N batch, C channels (I in, O out), D H W voxels, T distinct tasks of the batch, E experts.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ssp_model.nn.conv import convolve

EXPERTS = ("conv5", "conv3", "conv1", "pool3", "pool5")
"""The experts, in the order of the gate's outputs."""

KERNEL_SIZE = {"conv5": 5, "conv3": 3, "conv1": 1, "pool3": 1, "pool5": 1}


@dataclass(frozen=True)
class TaskGroups:
    """Distinct tasks of a batch that is sorted by task.

    Attributes
    ----------
    tasks_T : Tensor
        The distinct tasks, ascending, int64.
    counts : tuple of int
        Number of samples of each, in the same order.
    """

    tasks_T: Tensor
    counts: tuple[int, ...]


class MoDEConv3d(nn.Module):
    """Merge five experts into one 5x5x5 kernel for each task, by gating re-parameterisation."""

    def __init__(self, num_tasks: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.experts = nn.ParameterDict(
            {name: nn.Parameter(torch.empty(out_channels, in_channels, *(KERNEL_SIZE[name],) * 3)) for name in EXPERTS}
        )
        for expert in self.experts.values():
            nn.init.kaiming_uniform_(expert, a=math.sqrt(5))
        self.gate = nn.Linear(num_tasks, len(EXPERTS) * out_channels)

    def gates(self, tasks_T: Tensor) -> Tensor:
        """Return the weights of the experts, (T, E, O), float32; their sum over E is one."""
        # a linear layer with one-hot tasks as input picks columns
        logits = self.gate.weight.t()[tasks_T] + self.gate.bias
        return logits.view(-1, len(EXPERTS), self.out_channels).softmax(dim=1)

    def kernels(
        self, tasks_T: Tensor, dtype: torch.dtype = torch.float32, reach: tuple[int, int, int] = (2, 2, 2)
    ) -> tuple[Tensor, ...]:
        """Return the merged kernels of the given tasks.

        Parameters
        ----------
        tasks_T : Tensor
            Distinct tasks, int64.
        dtype : torch.dtype
            Type of the kernels, as the convolution needs it.
        reach : tuple of int
            Wanted voxels to each side of the centre in Z, Y, X, at most 2 (see `reach`).

        Returns
        -------
        tuple of Tensor
            T kernels, (O, I, 2 * reach + 1).
        """
        experts = [self.experts[name].permute(0, 2, 3, 4, 1) for name in EXPERTS]
        merged = MergeKernels.apply(dtype, reach, self.gates(tasks_T), *experts)
        return tuple(kernel_ODHWI.permute(0, 4, 1, 2, 3) for kernel_ODHWI in merged)

    def forward(self, x_NCDHW: Tensor, groups: TaskGroups) -> Tensor:
        """Convolve each sample with the kernel of its task: (N, I, D, H, W) to (N, O, D, H, W)."""
        device = x_NCDHW.device.type
        autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else x_NCDHW.dtype
        kernels = self.kernels(groups.tasks_T, dtype, reach(x_NCDHW))
        if len(kernels) == 1:
            return convolve(x_NCDHW, kernels[0])
        slices = zip(x_NCDHW.split(groups.counts), kernels, strict=True)
        return torch.cat([convolve(x, kernel) for x, kernel in slices])


class MergeKernels(torch.autograd.Function):
    """Sum the experts, weighted by their gates, directly in the dtype of the convolution.

    Only the 5^3 expert is weighted at full size. The 3^3 and 1^3 experts and the average over 3^3 are at the centre;
    the average over 5^3 is one value everywhere. Plain operations would make float32 kernels of full size, and for each
    as many gradients filled with zeros; that takes several times longer. Here D H W are the voxels of a kernel.
    """

    @staticmethod
    def forward(
        ctx: Any, dtype: torch.dtype, reach: tuple[int, int, int], gate_TEO: Tensor, *experts_ODHWI: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the merged kernels: T of (O, D, H, W, I)."""
        ctx.save_for_backward(gate_TEO, *experts_ODHWI)
        ctx.reach = reach
        conv5, conv3, conv1, pool3, pool5 = experts_ODHWI
        of_conv5, of_conv3, of_conv1, of_pool3, of_pool5 = gate_TEO[..., None, None, None, None].unbind(1)
        large = middle(conv5, reach)
        merged = torch.empty((len(gate_TEO), *large.shape), dtype=dtype, device=large.device)
        if conv5.stride(-1) != 1:  # if the channels of a network are not last in memory, nor are those of its kernels
            merged = torch.empty_like(merged.movedim(-1, 2), memory_format=torch.contiguous_format).movedim(2, -1)
        torch.mul(large, of_conv5, out=merged)
        centre = of_conv3 * middle(conv3, reach)
        centre += of_pool3 * (pool3 / 3**3)
        middle(centre, (0, 0, 0)).add_(of_conv1 * conv1)
        middle(merged, (1, 1, 1)).add_(centre)
        merged += of_pool5 * (pool5 / 5**3)
        return merged.unbind(0)

    @staticmethod
    def backward(ctx: Any, *kernel_grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of gates and experts, summed over tasks in float32."""
        gate_TEO, *experts = ctx.saved_tensors
        conv5, conv3, conv1, pool3, pool5 = experts
        of_conv5, of_conv3, of_conv1, of_pool3, of_pool5 = gate_TEO[..., None, None, None, None].unbind(1)
        reach = ctx.reach
        large = middle(conv5, reach).to(kernel_grads[0].dtype)
        large_grad: Tensor | None = None
        large_dots, sums, centres = [], [], []
        for grad, gate in zip(kernel_grads, of_conv5, strict=True):
            large_grad = gate * grad if large_grad is None else large_grad.addcmul_(grad, gate)
            large_dots.append((grad * large).flatten(1).sum(1))
            sums.append(grad.sum((1, 2, 3), keepdim=True))
            centres.append(middle(grad, (1, 1, 1)))
        assert large_grad is not None
        sum_grad = torch.stack(sums).to(gate_TEO.dtype) / 5**3
        centre_grad = torch.stack(centres).to(gate_TEO.dtype)
        centre_sum_grad = centre_grad.sum((2, 3, 4), keepdim=True) / 3**3
        point_grad = middle(centre_grad, (0, 0, 0))

        conv5_grad, conv3_grad = torch.zeros_like(conv5), torch.zeros_like(conv3)
        middle(conv5_grad, reach).copy_(large_grad)
        middle(conv3_grad, reach).copy_((of_conv3 * centre_grad).sum(0))
        gate_grad = [
            torch.stack(large_dots).to(gate_TEO.dtype),
            (centre_grad * middle(conv3, reach)).sum((2, 3, 4, 5)),
            (point_grad * conv1).sum((2, 3, 4, 5)),
            (centre_sum_grad * pool3).sum((2, 3, 4, 5)),
            (sum_grad * pool5).sum((2, 3, 4, 5)),
        ]
        return (
            None,
            None,
            torch.stack(gate_grad, dim=1),
            conv5_grad,
            conv3_grad,
            (of_conv1 * point_grad).sum(0),
            (of_pool3 * centre_sum_grad).sum(0),
            (of_pool5 * sum_grad).sum(0),
        )


def reach(x_NCDHW: Tensor) -> tuple[int, int, int]:
    """Return how many voxels from its centre a kernel can touch data, in Z, Y, X.

    For example in a volume of one plane, the planes of a kernel above and below its middle plane only meet padding.
    """
    depth, height, width = (min(2, size - 1) for size in x_NCDHW.shape[2:])
    return depth, height, width


def middle(kernel: Tensor, reach: tuple[int, int, int]) -> Tensor:
    """Return the voxels of a kernel, (..., D, H, W, I), within reach of its centre."""
    for dim, wanted in zip((-4, -3, -2), reach, strict=True):
        there = kernel.shape[dim] // 2
        if wanted < there:
            kernel = kernel.narrow(dim, there - wanted, 2 * wanted + 1)
    return kernel
