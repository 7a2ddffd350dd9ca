"""What the machine has: where to compute, in which arithmetic, and how much memory."""

import logging
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import psutil
import torch

from ssp_model.errors import InputError
from ssp_model.log import counted

logger = logging.getLogger(__name__)

Autocast = Callable[[], AbstractContextManager[object]]
"""Makes the context that sets the arithmetic."""

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PRECISIONS: dict[str, Precision] = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""The arithmetic by the name that a config has for it."""


def choose_precision(wanted: str = "auto", *, on_gpu: bool | None = None) -> Precision:
    """Return an arithmetic in Lightning Fabric's terms; `auto` takes the fastest that the hardware has units for.

    Raises
    ------
    InputError
        There is no arithmetic of this name.
    """
    if wanted not in ("auto", *PRECISIONS):
        raise InputError(f"The precision {wanted!r} is not known; give auto, {', '.join(PRECISIONS)}.")
    if wanted != "auto":
        return PRECISIONS[wanted]
    if torch.cuda.is_available() if on_gpu is None else on_gpu:
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    has_units = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if has_units else "32-true"


@dataclass(frozen=True)
class Compute:
    """Where a network predicts, and in which arithmetic."""

    device: torch.device
    precision: Precision

    @classmethod
    def choose(cls, precision: str = "auto", device: str = "auto") -> Self:
        """Return where and how to compute.

        Parameters
        ----------
        precision : str
            A name as in the configuration.
        device : str
            Such as `cpu` or `cuda:1`; `auto` takes the first GPU, or the CPU where there is none.

        Raises
        ------
        InputError
            There is no such arithmetic or device here.
        """
        place = _device(device)
        chosen = choose_precision(precision, on_gpu=place.type == "cuda")
        if place.type == "cuda":
            return cls(place, chosen)
        if chosen == "16-mixed":
            logger.warning("fp16 needs a GPU; bf16 is used instead")
            chosen = "bf16-mixed"
        return cls(place, chosen)

    def autocast(self) -> AbstractContextManager[object]:
        """Make the context that sets the arithmetic, the same as Lightning Fabric's."""
        if self.precision == "32-true":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16-mixed" else torch.float16)


def device_names() -> list[str]:
    """Return the devices of this machine: `cpu`, then `cuda:0` and so on."""
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["cpu", *(f"cuda:{number}" for number in range(num_gpus))]


def _device(name: str) -> torch.device:
    names = device_names()
    wanted = {"auto": "cuda:0" if len(names) > 1 else "cpu", "cuda": "cuda:0"}.get(name, name)
    if wanted not in names:
        raise InputError(f"There is no device {name!r} on this machine; give auto or {', '.join(names)}.")
    return torch.device(wanted)


def device_name() -> str:
    """Return what a person calls the processor that computes."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {counted(torch.get_num_threads(), 'thread')}"


def process_peak_memory_mb() -> float:
    """Return the most memory that this process has held so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # unlike getrusage, this does not count the memory of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def free_memory() -> int:
    """Return the bytes that this process may still take: of the machine, or of its job if that has a limit."""
    free = psutil.virtual_memory().available
    limits = [Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current")]
    if all(path.exists() for path in limits):
        most, used = (path.read_text().strip() for path in limits)
        if most != "max":
            free = min(free, int(most) - int(used))
    return free
