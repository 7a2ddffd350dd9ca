"""Time, memory and arithmetic of a RepMode training step against the same step of the plain U-Net it collapses to.

All have the same layers and optimiser; the plain U-Net has one kernel a convolution, RepMode merges five experts for
each distinct task of the batch. The published way merges for each sample, in float32. Steps alternate, so that a busy
machine slows all alike. On a GPU also: arithmetic reached, and the loss curve in bf16 against that in float32.

    python benchmarks/train_step.py               # width 16, 16x64x64 on a CPU; width 32, 32x128x128 on a GPU
    python benchmarks/train_step.py --width 8 --patch 16 48 48 --tasks 5
"""

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import pandas as pd
import torch
import torch.nn.functional as F
from tables import show
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ssp_model.hardware import choose_precision, device_name, process_peak_memory_mb
from ssp_model.nn.conv import convolve
from ssp_model.nn.methods.repmode import RepMode
from ssp_model.nn.mode_conv import EXPERTS, MoDEConv3d, TaskGroups
from ssp_model.nn.unet import UNet

DTYPES = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Plain(UNet):
    """The plain U-Net, called as a method is."""

    def supervised(self, x: Tensor, task: Tensor) -> list[tuple[Tensor, float]]:
        """Predict without looking at the task."""
        return [(self(x), 1.0)]


class MergingForEachSample(MoDEConv3d):
    """Experts merged for each sample at full size by plain operations, in float32, as published."""

    def forward(self, x: Tensor, groups: TaskGroups) -> Tensor:
        """(N, I, D, H, W) to (N, O, D, H, W)."""
        tasks = groups.tasks_T.repeat_interleave(torch.tensor(groups.counts, device=x.device))
        return torch.cat([convolve(sample[None], kernel) for sample, kernel in zip(x, self.merge(tasks), strict=True)])

    def merge(self, tasks: Tensor) -> list[Tensor]:
        """A kernel for each task, which may come several times."""
        experts = self.experts
        kernels = {
            "conv5": experts["conv5"],
            "conv3": F.pad(experts["conv3"], (1,) * 6),
            "conv1": F.pad(experts["conv1"], (2,) * 6),
            "pool3": F.pad((experts["pool3"] / 27).expand(-1, -1, 3, 3, 3), (1,) * 6),
            "pool5": (experts["pool5"] / 125).expand(-1, -1, 5, 5, 5),
        }
        stacked = torch.stack([kernels[name] for name in EXPERTS])
        return [(gates[..., None, None, None, None] * stacked).sum(0) for gates in self.gates(tasks)]


def merging(network: RepMode, kind: type[MoDEConv3d]) -> RepMode:
    """Let each MoDE convolution of a network merge in another way."""
    for module in network.modules():
        if isinstance(module, MoDEConv3d):
            module.__class__ = kind
    return network


def build(way: str, tasks: int, width: int) -> nn.Module:
    """A network by its way of merging."""
    if way == "plain U-Net":
        return Plain(width)
    if way.startswith("published"):
        return merging(RepMode(tasks, width), MergingForEachSample)
    return RepMode(tasks, width)


class Trainer:
    """A network with its optimiser."""

    def __init__(self, network: nn.Module, device: str, dtype: torch.dtype | None) -> None:
        self.network = network.to(device, memory_format=torch.channels_last_3d)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-4, fused=True)
        self.device, self.dtype = device, dtype
        self.seconds: list[float] = []

    def step(self, x: Tensor, y: Tensor, task: Tensor) -> float:
        """One timed step; returns its loss."""
        started = time.perf_counter()
        with torch.autocast(self.device, self.dtype, enabled=self.dtype is not None):
            outputs = self.network.supervised(x, task)
        loss = sum(weight * (prediction.float() - y).square().mean() for prediction, weight in outputs)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        value = loss.item()
        self.seconds.append(time.perf_counter() - started)
        return value


def batch(arguments: argparse.Namespace, device: str) -> tuple[Tensor, Tensor]:
    """Signal and target."""
    x, y = torch.randn(2, arguments.batch, 1, *arguments.patch, device=device)
    return x.contiguous(memory_format=torch.channels_last_3d), y


def memory_and_flop(way: str, arguments: argparse.Namespace, dtype: torch.dtype | None) -> tuple[float, float]:
    """Peak memory of two steps, in MiB, and the arithmetic of one, in TFLOP; in a process of its own."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    trainer = Trainer(build(way, arguments.tasks, arguments.width), device, dtype)
    x, y = batch(arguments, device)
    task = torch.randint(arguments.tasks, (arguments.batch,), device=device)
    trainer.step(x, y, task)
    trainer.step(x, y, task)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else process_peak_memory_mb()
    with FlopCounterMode(display=False) as counter:
        trainer.step(x, y, task)
    return peak, counter.get_total_flops() / 1e12


def measure(arguments: argparse.Namespace, dtype: torch.dtype | None, device: str) -> pd.DataFrame:
    """Each way's row: time, memory, arithmetic."""
    torch.manual_seed(0)
    ways = {"plain U-Net": dtype, "RepMode": dtype, "published way, float32": None}
    trainers = {way: Trainer(build(way, arguments.tasks, arguments.width), device, of) for way, of in ways.items()}
    x, y = batch(arguments, device)
    for _ in range(arguments.steps + 2):
        task = torch.randint(arguments.tasks, (arguments.batch,), device=device)
        for trainer in trainers.values():
            trainer.step(x, y, task)
    # the first steps warm up
    seconds = {way: statistics.median(trainer.seconds[2:]) for way, trainer in trainers.items()}
    del trainers
    rows = []
    for way, of in ways.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            memory, tflop = pool.submit(memory_and_flop, way, arguments, of).result()
        ratio = seconds[way] / seconds["plain U-Net"]
        row = {"step of": way, "ms": seconds[way] * 1e3, "ratio": ratio, "peak MiB": memory}
        rows.append(row | {"TFLOP/s": tflop / seconds[way]})
    return pd.DataFrame(rows)


def curves(arguments: argparse.Namespace, dtype: torch.dtype, device: str) -> pd.DataFrame:
    """Loss of the same training in the fast arithmetic and in float32."""
    losses = {}
    for name, of in {"float32": None, str(dtype).removeprefix("torch."): dtype}.items():
        torch.manual_seed(0)
        trainer = Trainer(RepMode(arguments.tasks, arguments.width), device, of)
        x, _ = batch(arguments, device)
        # something to learn: the signal, blurred as much as the task says
        task = torch.arange(arguments.batch, device=device) % arguments.tasks
        blurred = [F.avg_pool3d(x, size, 1, size // 2) for size in (1, 3, 5)]
        y = torch.stack([blurred[int(t) % 3][i] for i, t in enumerate(task)])
        losses[name] = [trainer.step(x, y, task) for _ in range(arguments.curve)]
    frame = pd.DataFrame({"step": range(1, arguments.curve + 1), **losses})
    frame["ratio"] = frame.iloc[:, 2] / frame.iloc[:, 1]
    return frame[frame.step.isin({1, 2, 5, 10, 20, 50, 100, 200})]


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=32 if on_gpu else 16)
    parser.add_argument("--patch", type=int, nargs=3, default=[32, 128, 128] if on_gpu else [16, 64, 64])
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--curve", type=int, default=200 if on_gpu else 0, help="steps of the loss curves")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bf16"])
    arguments = parser.parse_args()

    device, dtype = "cuda" if on_gpu else "cpu", DTYPES[choose_precision(arguments.precision)]
    shape = f"width {arguments.width}, patch {'x'.join(map(str, arguments.patch))}, batch {arguments.batch} of "
    shape += f"{arguments.tasks} tasks at random, {dtype or torch.float32}, {device_name()}"
    show("train_step", shape, measure(arguments, dtype, device))
    if arguments.curve and dtype:
        show("loss_curves", f"loss, {shape}", curves(arguments, dtype, device))
    if not on_gpu:
        print("No GPU here: width 32 at 32x128x128 and the loss curves of bf16 against float32 were not run.")


if __name__ == "__main__":
    main()
