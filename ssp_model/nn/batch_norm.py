"""Batch norm over the samples of all processes of a training.

Shapes: N batch, C channels, D H W voxels.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SumOverProcesses(torch.autograd.Function):
    """Sum a tensor over all processes. The gradient is also summed over all processes."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """Return the sum, the same in every process."""
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Sum the gradients: the sum of each process depends on the value of every process."""
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class AllReduceBatchNorm3d(nn.BatchNorm3d):
    """Batch norm over the samples of all processes, also on a CPU. Its state is that of `BatchNorm3d`."""

    def forward(self, x_NCDHW: Tensor) -> Tensor:
        """Normalise (N, C, D, H, W); N may differ between processes."""
        if not self.training:
            return super().forward(x_NCDHW)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        x = x_NCDHW.float()
        count = torch.tensor([float(x.numel() // x.shape[1])])
        dist.all_reduce(count)
        dims = (0, 2, 3, 4)
        mean_C = SumOverProcesses.apply(x.sum(dims)) / count
        centred = x - mean_C[:, None, None, None]
        var_C = SumOverProcesses.apply(centred.square().sum(dims)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(var_C * count / (count - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale_C = self.weight * (var_C + self.eps).rsqrt()
        return (centred * scale_C[:, None, None, None] + self.bias[:, None, None, None]).to(x_NCDHW.dtype)


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Make each batch norm of a network see the samples of all processes. A frozen one does not look at samples."""
    for name, child in network.named_children():
        if not isinstance(child, nn.BatchNorm3d):
            synchronise_batch_norm(child, device)
        elif not child.weight.requires_grad:
            continue
        elif device.type == "cuda":
            setattr(network, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
        else:
            norm = AllReduceBatchNorm3d(child.num_features, child.eps, child.momentum)
            norm.load_state_dict(child.state_dict())
            setattr(network, name, norm)
