"""Several processes of one training: start them, and exchange values between them.

The published training is one process with a batch of 8. Several processes share such a batch and give the same result
up to rounding, so batch norm must see the whole batch. torch's SyncBatchNorm does this on GPUs only.

On one machine, Lightning Fabric starts the processes. In a Slurm job, `srun` starts one process for each Slurm task,
and Fabric takes ranks and addresses from what Slurm tells each process.
"""

import os
import sys
import time
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

from ssp_model.errors import InputError
from ssp_model.hardware import choose_precision

CACHES = ("disk", "scratch", "memory")
LONGEST_GRACE_S = 600
"""Slurm should end a job within this time after SIGTERM."""


@dataclass(frozen=True)
class Placement:
    """Where a training is computed. It does not change the result.

    Attributes
    ----------
    devices : int
        Processes on each machine, one GPU each if there are GPUs. All processes share every batch.
    nodes : int
        Number of machines.
    threads : int
        CPU threads of each process. They compute if there is no GPU; with a GPU they read crops.
    cache : str
        Where crops are read from: the file on `disk`, a copy on `scratch` (the temporary folder of each machine), or a
        copy in the `memory` of each process.
    """

    devices: int = 1
    nodes: int = 1
    threads: int = 1
    cache: str = "disk"

    def __post_init__(self) -> None:
        if self.cache not in CACHES:
            raise InputError(f"The resource cache of train_model is {self.cache!r}; give one of {', '.join(CACHES)}.")
        if self.devices < 1 or self.nodes < 1:
            raise InputError(
                f"The resources tasks_per_node and nodes of train_model are {self.devices} and {self.nodes}; give 1 or "
                "more."
            )

    @property
    def num_processes(self) -> int:
        """Number of processes on all machines."""
        return self.devices * self.nodes


def make_fabric(precision: str, placement: Placement) -> Fabric:
    """Choose the device, its precision (a name of the config) and how processes work together."""
    alone = placement.num_processes == 1
    return Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=placement.devices,
        num_nodes=placement.nodes,
        strategy="auto" if alone else "ddp",
        precision=choose_precision(precision),
        # otherwise, in a Slurm job with several tasks, Fabric would believe that it is one process of several
        plugins=LightningEnvironment() if alone else None,
    )


def start_processes(placement: Placement) -> None:
    """In a Slurm job, let `srun` start this program once for each process of a training.

    In the first process of the job this call does not return: the process becomes `srun`, and ends when all processes
    have ended. It does nothing in a process that `srun` started, for a training of one process, and outside of Slurm.

    Raises
    ------
    InputError
        Several machines are wanted, but nothing here starts processes on them.
    """
    devices, nodes = placement.devices, placement.nodes
    if placement.num_processes == 1 or "SLURM_STEP_ID" in os.environ:
        return
    if "SLURM_JOB_ID" in os.environ:
        layout = [f"--nodes={nodes}", f"--ntasks={devices * nodes}", f"--ntasks-per-node={devices}"]
        options = [*layout, f"--cpus-per-task={placement.threads}", "--kill-on-bad-exit=1"]
        os.execvp("srun", ["srun", *options, sys.executable, *sys.argv])
    if nodes > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise InputError(
            f"The training is to run on {nodes} machines (resource nodes of train_model), but this is no Slurm job and "
            "nothing else here starts processes on other machines; run with --workflow-profile profiles/slurm, or set "
            "nodes to 1."
        )


def await_kill() -> None:
    """In a Slurm job, wait until Slurm ends the job, as SIGTERM has announced.

    If a preempted job ends by itself before that, it counts as failed and does not go back into the queue.
    """
    if "SLURM_JOB_ID" in os.environ:
        time.sleep(LONGEST_GRACE_S)


T = TypeVar("T")


def gather(fabric: Fabric, value: T) -> list[T]:
    """Return a plain value of each process, by rank. All processes must call it and get the same list."""
    if fabric.world_size == 1:
        return [value]
    values: list[T | None] = [None] * fabric.world_size
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def any_process(fabric: Fabric, *, flag: bool) -> bool:
    """Tell whether a flag is set in any process. All processes must call it and get the same answer."""
    return any(gather(fabric, flag))
