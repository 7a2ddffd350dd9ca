"""Mixture of Diverse Experts convolution (RepMode, sections 3.2 and 3.3).

Five experts look at the input at different scales: convolutions of 5^3, 3^3 and 1^3 voxels, and a 1^3 convolution after
an average pool of 3^3 and of 5^3. All are linear, so for a given task their sum, weighted by the gates, is one 5^3
kernel. Gating re-parameterisation merges the experts into this kernel, and the network convolves once.

- Kernels are merged once for each distinct task of a batch, not for each sample.
- The four small experts are merged at their own size: 27 voxels at the centre, and one value everywhere. Only the 5^3
  expert is weighted at full size (`MergeKernels`).
- Voxels of a kernel that could only meet padding are left out (`reach`).
- The batch is sorted by task (`TaskGroups`), so the samples of a task are one slice of it.

The experts and the gate may be others than published (`Mixture`). A task that is added later brings one more expert and
a gate of its own, and changes nothing for the tasks before (`MoDEConv3d.extend`).

Shapes: N batch, C channels (I in, O out), D H W voxels, T distinct tasks of the batch, E experts, L length of a code.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssp_model.nn.conv import convolve

EXPERTS = ("conv5", "conv3", "conv1", "pool3", "pool5")
"""The experts as published, in the order of the gate's outputs."""

SIZE = {"conv5": 5, "conv3": 3, "conv1": 1, "pool1": 1, "pool3": 3, "pool5": 5}
"""Voxels that each kind of expert sees along an axis. What is pooled has a 1^3 kernel; pool1 is the same as conv1."""

ADDED_EXPERT = "conv3"
"""The kind of expert that an added task brings."""

HIDDEN = 64
"""Width of the hidden layer, if a gate has two layers."""


@dataclass(frozen=True)
class Mixture:
    """What a MoDE convolution is made of.

    Attributes
    ----------
    experts : tuple of str
        Their kinds (`SIZE`), in the order of the gate's outputs. The merged kernel has the size of the largest.
    gate : str
        `softmax`: the weights of the experts sum to one. `sigmoid`: each is between 0 and 1.
    gate_layers : int
        1, or 2 with ReLU between.
    codes : Tensor, or None
        What the gate reads for each task, (T, L); None for one-hot codes.
    """

    experts: tuple[str, ...] = EXPERTS
    gate: Literal["softmax", "sigmoid"] = "softmax"
    gate_layers: Literal[1, 2] = 1
    codes: Tensor | None = None


PUBLISHED = Mixture()


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


class FixedOrderLinear(nn.Linear):
    """Linear layer that gives the same bits wherever its weights lie in memory, also in mixed precision.

    A product of matrices does not: on a CPU, a model would predict otherwise after it was saved and read.
    """

    def forward(self, x_TL: Tensor) -> Tensor:
        """Map (T, L) to (T, outputs)."""
        return (x_TL[:, None] * self.weight).sum(dim=2) + self.bias


class MoDEConv3d(nn.Module):
    """Merge experts into one kernel for each task, by gating re-parameterisation."""

    codes: Tensor | None

    def __init__(self, num_tasks: int, in_channels: int, out_channels: int, mixture: Mixture = PUBLISHED) -> None:
        super().__init__()
        self.num_tasks, self.out_channels = num_tasks, out_channels
        self.kinds, self.is_softmax = mixture.experts, mixture.gate == "softmax"
        names = zip(numbered(self.kinds), self.kinds, strict=True)
        self.experts = nn.ParameterDict(
            {name: nn.Parameter(empty_expert(kind, in_channels, out_channels)) for name, kind in names}
        )
        for expert in self.experts.values():  # in alphabetical order, as torch keeps them
            nn.init.kaiming_uniform_(expert, a=math.sqrt(5))
        # a copy: a model file can't hold the same tensor for several convolutions
        self.register_buffer("codes", None if mixture.codes is None else mixture.codes.clone())
        length = num_tasks if mixture.codes is None else mixture.codes.shape[1]
        num_weights = len(self.kinds) * out_channels
        self.gate: nn.Module = (
            FixedOrderLinear(length, num_weights)
            if mixture.gate_layers == 1
            else nn.Sequential(FixedOrderLinear(length, HIDDEN), nn.ReLU(), FixedOrderLinear(HIDDEN, num_weights))
        )
        self.added_experts = nn.ParameterList()
        self.added_gates = nn.ParameterList()

    def extend(self) -> None:
        """Add a task with an expert and a gate of its own. The gate's logits start at 0."""
        like = next(iter(self.experts.values()))
        expert = empty_expert(ADDED_EXPERT, like.shape[1], self.out_channels)
        nn.init.kaiming_uniform_(expert, a=math.sqrt(5))
        self.added_experts.append(nn.Parameter(expert.to(like)))
        self.added_gates.append(nn.Parameter(like.new_zeros(len(self.kinds) + 1, self.out_channels)))

    def gates(self, tasks_T: Tensor) -> Tensor:
        """Return the weights of the experts, (T, E, O), float32, for tasks that were there from the start."""
        if isinstance(self.gate, nn.Linear) and self.codes is None:
            # a linear layer with one-hot tasks as input picks columns
            logits = self.gate.weight.t()[tasks_T] + self.gate.bias
        else:
            codes = F.one_hot(tasks_T, self.num_tasks) if self.codes is None else self.codes[tasks_T]
            logits = self.gate(codes.to(next(self.gate.parameters()).dtype))
        return self.weights(logits.view(-1, len(self.kinds), self.out_channels))

    def weights(self, logits_TEO: Tensor) -> Tensor:
        """Return the weights of the experts for the outputs of a gate."""
        return logits_TEO.softmax(dim=1) if self.is_softmax else logits_TEO.sigmoid()

    def parts(self, tasks_T: Tensor) -> Iterator[tuple[Tensor, tuple[str, ...], list[Tensor]]]:
        """Yield weights (T, E, O), kinds and kernels of experts: for all tasks from the start, then each added task."""
        experts = [self.experts[name] for name in numbered(self.kinds)]
        if not self.added_gates:
            yield self.gates(tasks_T), self.kinds, experts
            return
        added = [task - self.num_tasks for task in tasks_T.tolist() if task >= self.num_tasks]
        if len(added) < len(tasks_T):
            yield self.gates(tasks_T[: len(tasks_T) - len(added)]), self.kinds, experts
        for number in added:
            weights = self.weights(self.added_gates[number][None])
            yield weights, (*self.kinds, ADDED_EXPERT), [*experts, self.added_experts[number]]

    def kernels(
        self, tasks_T: Tensor, dtype: torch.dtype = torch.float32, reach: tuple[int, int, int] = (2, 2, 2)
    ) -> tuple[Tensor, ...]:
        """Return the merged kernels of the given tasks.

        Parameters
        ----------
        tasks_T : Tensor
            Distinct tasks, ascending, int64.
        dtype : torch.dtype
            Type of the kernels, as the convolution needs it.
        reach : tuple of int
            Wanted voxels to each side of the centre in Z, Y, X, at most 2 (see `reach`).

        Returns
        -------
        tuple of Tensor
            T kernels, (O, I, 2 * reach + 1); smaller if no expert is as large.
        """
        merged: list[Tensor] = []
        for gate_TEO, kinds, experts in self.parts(tasks_T):
            merged += MergeKernels.apply(dtype, reach, kinds, gate_TEO, *(e.permute(0, 2, 3, 4, 1) for e in experts))
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

    def usage(self) -> tuple[tuple[str, ...], Tensor]:
        """Return the names of all experts, and how much each task uses each: means over output channels, (T, E).

        The experts of added tasks are the last columns. Other tasks do not use them.
        """
        num_added = len(self.added_gates)
        tasks_T = torch.arange(self.num_tasks + num_added, device=next(self.parameters()).device)
        first, *added = (gate_TEO.mean(dim=2) for gate_TEO, _, _ in self.parts(tasks_T))
        usage_TE = F.pad(first, (0, num_added, 0, num_added))
        for number, row_1E in enumerate(added):
            usage_TE[self.num_tasks + number, : len(self.kinds)] = row_1E[0, :-1]
            usage_TE[self.num_tasks + number, len(self.kinds) + number] = row_1E[0, -1]
        return numbered((*self.kinds, *(f"new {ADDED_EXPERT}" for _ in added))), usage_TE


def numbered(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Return a name for each expert: its kind; the second of a kind has a 2 behind it, and so on."""
    numbers = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
    return tuple(kind if number == 1 else f"{kind}_{number}" for kind, number in zip(kinds, numbers, strict=True))


def is_pooled(kind: str) -> bool:
    """Tell whether an expert averages before it convolves."""
    return kind.startswith("pool")


def empty_expert(kind: str, in_channels: int, out_channels: int) -> Tensor:
    """Return a kernel for an expert, (O, I, D, H, W), without values."""
    size = 1 if is_pooled(kind) else SIZE[kind]
    return torch.empty(out_channels, in_channels, size, size, size)


Weighted = tuple[Tensor, Tensor]
"""The weights of an expert, (T, O, 1, 1, 1, 1), and its kernel, (O, D, H, W, I)."""


class MergeKernels(torch.autograd.Function):
    """Sum the experts, weighted by their gates, directly in the dtype of the convolution.

    Only convolutions of the largest size are weighted at full size. All smaller experts are at the centre, and an
    average over the largest size is one value everywhere. Plain operations would make float32 kernels of full size, and
    for each as many gradients filled with zeros; that takes several times longer. Here D H W are the voxels of a
    kernel. `kinds` has the kinds of the experts, in the order of gates and experts.
    """

    @staticmethod
    def forward(
        ctx: Any,
        dtype: torch.dtype,
        reach: tuple[int, int, int],
        kinds: tuple[str, ...],
        gate_TEO: Tensor,
        *experts_ODHWI: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the merged kernels: T of (O, D, H, W, I)."""
        ctx.save_for_backward(gate_TEO, *experts_ODHWI)
        ctx.reach, ctx.kinds = reach, kinds
        gates = gate_TEO[..., None, None, None, None].unbind(1)
        *smaller, largest = sizes_of(kinds)

        def products(size: int) -> tuple[list[Weighted], list[Weighted]]:
            convs, pools = places_of(kinds, size)
            return (
                [(gates[place], middle(experts_ODHWI[place], reach)) for place in convs],
                [(gates[place], experts_ODHWI[place] / size**3) for place in pools],
            )

        centre: Tensor | None = None
        for size in smaller:
            convs, pools = products(size)
            if convs:
                gate, conv = convs.pop(0)
                total = gate * conv
            else:
                total = gate_TEO.new_zeros(merged_shape(gate_TEO, experts_ODHWI, size, reach))
            add_products(total, convs + pools)
            if centre is not None:
                add_at_centre(total, centre)
            centre = total

        convs, pools = products(largest)
        shape = merged_shape(gate_TEO, experts_ODHWI, largest, reach)
        merged = torch.empty(shape, dtype=dtype, device=gate_TEO.device)
        # if the channels of a network are not last in memory, nor are those of its kernels
        if any(expert.stride(-1) != 1 for expert in experts_ODHWI):
            merged = torch.empty_like(merged.movedim(-1, 2), memory_format=torch.contiguous_format).movedim(2, -1)
        if convs:
            gate, conv = convs.pop(0)
            torch.mul(conv, gate, out=merged)
        else:
            merged.zero_()
        add_products(merged, convs)
        if centre is not None:
            add_at_centre(merged, centre)
        add_products(merged, pools)
        return merged.unbind(0)

    @staticmethod
    def backward(ctx: Any, *kernel_grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of gates and experts, summed over tasks in float32."""
        gate_TEO, *experts = ctx.saved_tensors
        gates = gate_TEO[..., None, None, None, None].unbind(1)
        reach, kinds = ctx.reach, ctx.kinds
        learns = ctx.needs_input_grad[-len(experts) :]
        *smaller, largest = sizes_of(kinds)
        convs, pools = places_of(kinds, largest)
        large = {place: middle(experts[place], reach).to(kernel_grads[0].dtype) for place in convs}
        dots: dict[int, list[Tensor]] = {place: [] for place in convs}
        sums, centres = [], []
        gate_grads: dict[int, Tensor] = {}
        expert_grads: dict[int, Tensor] = {}
        for task, grad in enumerate(kernel_grads):
            for place in convs:
                if learns[place]:
                    gate, before = gates[place][task], expert_grads.get(place)
                    expert_grads[place] = gate * grad if before is None else before.addcmul_(grad, gate)
                dots[place].append((grad * large[place]).flatten(1).sum(1))
            if pools:
                sums.append(grad.sum((1, 2, 3), keepdim=True))
            if smaller:
                centres.append(middle(grad, reach_of(smaller[-1])))
        for place in convs:
            gate_grads[place] = torch.stack(dots[place]).to(gate_TEO.dtype)

        def spread(sum_grad: Tensor, pools: list[int]) -> None:
            for place in pools:
                gate_grads[place] = (sum_grad * experts[place]).sum((2, 3, 4, 5))
                if learns[place]:
                    expert_grads[place] = (gates[place] * sum_grad).sum(0)

        if pools:
            spread(torch.stack(sums).to(gate_TEO.dtype) / largest**3, pools)
        centre_grad = torch.stack(centres).to(gate_TEO.dtype) if smaller else None
        for size in reversed(smaller):
            assert centre_grad is not None
            centre_grad = middle(centre_grad, reach_of(size))
            convs, pools = places_of(kinds, size)
            for place in convs:
                gate_grads[place] = (centre_grad * middle(experts[place], reach)).sum((2, 3, 4, 5))
                if learns[place]:
                    expert_grads[place] = (gates[place] * centre_grad).sum(0)
            if pools:
                spread(centre_grad.sum((2, 3, 4), keepdim=True) / size**3, pools)
        return (
            None,
            None,
            None,
            torch.stack([gate_grads[place] for place in range(len(kinds))], dim=1),
            *(
                placed(expert_grads[place], expert, reach) if learns[place] else None
                for place, expert in enumerate(experts)
            ),
        )


def add_products(total: Tensor, products: list[Weighted]) -> None:
    """Add weighted experts to a sum."""
    for gate, expert in products:
        total += gate * expert


def add_at_centre(total: Tensor, centre: Tensor) -> None:
    """Add smaller kernels to larger ones."""
    depth, height, width = (size // 2 for size in centre.shape[-4:-1])
    middle(total, (depth, height, width)).add_(centre)


def placed(grad: Tensor, expert_ODHWI: Tensor, reach: tuple[int, int, int]) -> Tensor:
    """Return the gradient of an expert from that of the voxels within reach; the others have none."""
    if grad.shape == expert_ODHWI.shape:
        return grad
    whole = torch.zeros_like(expert_ODHWI)
    middle(whole, reach).copy_(grad)
    return whole


def sizes_of(kinds: tuple[str, ...]) -> list[int]:
    """Return the sizes that experts see, ascending."""
    return sorted({SIZE[kind] for kind in kinds})


def places_of(kinds: tuple[str, ...], size: int) -> tuple[list[int], list[int]]:
    """Return which experts of a size are convolutions, and which average."""
    places = [place for place, kind in enumerate(kinds) if SIZE[kind] == size]
    return [p for p in places if not is_pooled(kinds[p])], [p for p in places if is_pooled(kinds[p])]


def reach_of(size: int) -> tuple[int, int, int]:
    """Return how many voxels from its centre a kernel of a size has."""
    return size // 2, size // 2, size // 2


def merged_shape(
    gate_TEO: Tensor, experts_ODHWI: tuple[Tensor, ...], size: int, reach: tuple[int, int, int]
) -> tuple[int, ...]:
    """Return the shape of the kernels that experts of a size make, (T, O, D, H, W, I)."""
    out_channels, *_, in_channels = experts_ODHWI[0].shape
    voxels = (2 * min(size // 2, wanted) + 1 for wanted in reach)
    return len(gate_TEO), out_channels, *voxels, in_channels


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
