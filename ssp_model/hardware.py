"""What the machine has: where to compute, and in which arithmetic."""

import resource
from pathlib import Path
from typing import Literal

import psutil
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
_BY_NAME: dict[str, Precision] = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def choose_precision(wanted: str = "auto") -> Precision:
    """Arithmetic by name, in Lightning Fabric's terms; `auto` takes the fastest that the hardware has units for."""
    if wanted != "auto":
        return _BY_NAME[wanted]
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    has_units = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if has_units else "32-true"


def make_fabric(precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """The device to compute on, its arithmetic (by the name in the configuration), and how many processes share it."""
    alone = devices * nodes == 1
    return Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=devices,
        num_nodes=nodes,
        strategy="auto" if alone else "ddp",
        precision=choose_precision(precision),
        # in a Slurm job of several tasks, Fabric would else take one process for one of them
        plugins=LightningEnvironment() if alone else None,
    )


def device_name() -> str:
    """What a person calls the processor that computes."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def process_peak_memory_mb() -> float:
    """Most memory this process has held so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # unlike getrusage's figure, this one does not start from that of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, or of its job where that has a limit of its own."""
    free = psutil.virtual_memory().available
    limits = [Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current")]
    if all(path.exists() for path in limits):
        most, used = (path.read_text().strip() for path in limits)
        if most != "max":
            free = min(free, int(most) - int(used))
    return free
