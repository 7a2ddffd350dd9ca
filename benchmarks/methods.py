"""Time and memory of a training step of each method against the plain U-Net, and what its arithmetic explains.

A method's step may take 1.5 times what its arithmetic explains: (time / time of the plain U-Net) / (GMAC / GMAC of the
plain U-Net). Multi-Net has a row of one network, and a batch of one task, as its networks are trained alone. Steps
alternate, so that a busy machine slows all alike. Memory is the peak of a process of its own.

    python benchmarks/methods.py                # width 16, 16x64x64 on a CPU; width 32, 32x128x128 on a GPU
    python benchmarks/methods.py --kernel 3
"""

import argparse
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor

import pandas as pd
import torch
from tables import show
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from train_step import DTYPES, Plain, Trainer, batch

from ssp_model.hardware import choose_precision, device_name, process_peak_memory_mb
from ssp_model.models.model_file import make_network
from ssp_model.nn.methods import METHODS

PLAIN = "plain U-Net"


def trainer_of(method: str, arguments: argparse.Namespace) -> tuple[Trainer, int]:
    """A method's network with its optimiser, and its number of tasks."""
    torch.manual_seed(0)
    device, dtype = "cuda" if torch.cuda.is_available() else "cpu", DTYPES[choose_precision("auto")]
    tasks = 1 if method == "multi_net" else arguments.tasks
    settings = {"width": arguments.width} | ({} if method == "repmode" else {"kernel": arguments.kernel})
    network = Plain(**settings) if method == PLAIN else make_network(method, tasks, settings)
    return Trainer(network, device, dtype), tasks


def step(trainer: Trainer, tasks: int, x: Tensor, y: Tensor) -> None:
    """One timed step, with random tasks."""
    trainer.step(x, y, torch.randint(tasks, (len(x),), device=x.device))


def memory_and_gmac(method: str, arguments: argparse.Namespace) -> tuple[float, float, int]:
    """Peak memory of two steps in MiB, GMAC of a step, and parameters; in a process of its own."""
    trainer, tasks = trainer_of(method, arguments)
    x, y = batch(arguments, trainer.device)
    step(trainer, tasks, x, y)
    step(trainer, tasks, x, y)
    peak = torch.cuda.max_memory_allocated() / 2**20 if trainer.device == "cuda" else process_peak_memory_mb()
    with FlopCounterMode(display=False) as counter:
        step(trainer, tasks, x, y)
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    return peak, counter.get_total_flops() / 2e9, parameters


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=32 if on_gpu else 16)
    parser.add_argument("--patch", type=int, nargs=3, default=[32, 128, 128] if on_gpu else [16, 64, 64])
    parser.add_argument("--kernel", type=int, default=5, choices=[5, 3])
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=9)
    arguments = parser.parse_args()

    # with kernels of 3^3 RepMode's plain U-Net is another one
    names = [PLAIN, *(name for name in METHODS if name != "repmode" or arguments.kernel == 5)]
    trainers = {name: trainer_of(name, arguments) for name in names}
    x, y = batch(arguments, "cuda" if on_gpu else "cpu")
    for _ in range(arguments.steps + 2):
        for trainer, tasks in trainers.values():
            step(trainer, tasks, x, y)
    # the first steps warm up
    seconds = {name: statistics.median(trainer.seconds[2:]) for name, (trainer, _) in trainers.items()}
    del trainers
    rows = []
    for name in names:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            memory, gmac, parameters = pool.submit(memory_and_gmac, name, arguments).result()
        rows.append(
            {"step of": name, "parameters": parameters, "GMAC": gmac, "ms": seconds[name] * 1e3, "peak MiB": memory}
        )
    frame = pd.DataFrame(rows)
    for column in ("GMAC", "ms", "peak MiB"):
        frame[f"{column} ratio"] = frame[column] / frame[column][0]
    frame["time / GMAC"] = frame["ms ratio"] / frame["GMAC ratio"]
    shape = f"width {arguments.width}, kernel {arguments.kernel}, patch {'x'.join(map(str, arguments.patch))}, batch "
    shape += f"{arguments.batch} of {arguments.tasks} tasks at random, {choose_precision('auto')}, {device_name()}"
    show("methods", shape, frame)


if __name__ == "__main__":
    main()
