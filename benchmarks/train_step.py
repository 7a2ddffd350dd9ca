"""Time of a RepMode training step against the same step of the plain U-Net it collapses to.

Both networks have the same convolutions, batch norms and optimiser; the plain one has one kernel a convolution, RepMode
merges five experts for each distinct task of the batch. Steps alternate, so that a busy machine slows both alike.

    python benchmarks/train_step.py                       # width 16, 16x64x64 on a CPU; width 32, 32x128x128 on a GPU
    python benchmarks/train_step.py --width 8 --patch 16 48 48 --tasks 5
"""

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from ssp_model.hardware import choose_precision, device_name
from ssp_model.nn import RepMode
from ssp_model.nn.mode_conv import MoDEConv3d, TaskGroups, convolve


class PlainConv3d(nn.Module):
    """One 5^3 kernel for all tasks, in the place of a MoDE convolution."""

    def __init__(self, mode: MoDEConv3d) -> None:
        super().__init__()
        self.weight = nn.Parameter(mode.kernels(torch.tensor([0]))[0].detach().clone())

    def forward(self, x: Tensor, groups: TaskGroups) -> Tensor:
        """(N, I, D, H, W) to (N, O, D, H, W)."""
        return convolve(x, self.weight)


def plain(network: nn.Module) -> nn.Module:
    """Put a plain convolution in the place of each MoDE convolution."""
    for name, child in network.named_children():
        if isinstance(child, MoDEConv3d):
            setattr(network, name, PlainConv3d(child))
        else:
            plain(child)
    return network


class Trainer:
    """A network with its optimiser."""

    def __init__(self, network: nn.Module, device: str, dtype: torch.dtype | None) -> None:
        self.network = network.to(device, memory_format=torch.channels_last_3d)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-4, fused=True)
        self.device, self.dtype = device, dtype
        self.seconds: list[float] = []

    def step(self, x: Tensor, y: Tensor, task: Tensor) -> None:
        """One timed step."""
        started = time.perf_counter()
        with torch.autocast(self.device, self.dtype, enabled=self.dtype is not None):
            prediction = self.network(x, task)
        loss = (prediction.float() - y).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - started)


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=32 if on_gpu else 16)
    parser.add_argument("--patch", type=int, nargs=3, default=[32, 128, 128] if on_gpu else [16, 64, 64])
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bf16"])
    arguments = parser.parse_args()

    device = "cuda" if on_gpu else "cpu"
    dtype = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}[
        choose_precision(arguments.precision)
    ]
    torch.manual_seed(0)
    trainers = {
        "plain U-Net": Trainer(plain(RepMode(1, arguments.width)), device, dtype),
        "RepMode": Trainer(RepMode(arguments.tasks, arguments.width), device, dtype),
    }
    x, y = torch.randn(2, arguments.batch, 1, *arguments.patch, device=device)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    distinct = []
    for _ in range(arguments.steps + 2):
        task = torch.randint(arguments.tasks, (arguments.batch,), device=device)
        distinct.append(len(task.unique()))
        for trainer in trainers.values():
            trainer.step(x, y, task)
    print(
        f"width {arguments.width}, patch {'x'.join(map(str, arguments.patch))}, batch {arguments.batch} with "
        f"{statistics.mean(distinct):.1f} distinct of {arguments.tasks} tasks, {dtype or torch.float32}, "
        f"{device_name()}"
    )
    reference = statistics.median(trainers["plain U-Net"].seconds[2:])
    for name, trainer in trainers.items():
        # the first steps warm up
        median = statistics.median(trainer.seconds[2:])
        print(f"{name:12} {median * 1e3:8.1f} ms a step   {median / reference:.2f}x")


if __name__ == "__main__":
    main()
