"""What several processes of one training need: to be started, batch norm over the whole batch, and figures of all.

The published training is one process with a batch of 8. Several processes share such a batch and give the same result
up to rounding, so batch norm has to see all of it. torch's SyncBatchNorm does that on GPUs only.

On one machine Lightning Fabric starts the processes. Within a Slurm job `srun` does, once for each task, and Fabric
takes ranks and addresses from what Slurm tells each task.
"""

import os
import sys
import time
from typing import TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

from ssp_model.errors import InputError
from ssp_model.hardware import choose_precision

LONGEST_GRACE_S = 600
"""Slurm is expected to end a job at most this long after SIGTERM."""


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


def start_processes(devices: int, nodes: int, threads: int) -> None:
    """Within a Slurm job, let `srun` start this program once for each process of a training.

    In the job's first process this call does not return: the process becomes `srun`, and ends when all tasks have. In
    a task, for a training of one process, and outside of Slurm, it does nothing.

    Parameters
    ----------
    devices, nodes : int
        Processes on each machine, and machines.
    threads : int
        CPUs of each process.

    Raises
    ------
    InputError
        There are to be several machines, and nothing here starts processes on them.
    """
    if devices * nodes == 1 or "SLURM_STEP_ID" in os.environ:
        return
    if "SLURM_JOB_ID" in os.environ:
        layout = [f"--nodes={nodes}", f"--ntasks={devices * nodes}", f"--ntasks-per-node={devices}"]
        options = [*layout, f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]
        os.execvp("srun", ["srun", *options, sys.executable, *sys.argv])
    if nodes > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise InputError(
            f"train.nodes is {nodes}, but this is no Slurm job, and nothing else here starts processes on other "
            "machines; run with --workflow-profile profiles/slurm, or set train.nodes to 1."
        )


def await_kill() -> None:
    """Within a Slurm job, wait for the end that SIGTERM has announced.

    A preempted job that ends by itself in the time it is given counts as failed, and does not go back into the queue.
    """
    if "SLURM_JOB_ID" in os.environ:
        time.sleep(LONGEST_GRACE_S)


T = TypeVar("T")


def gather(fabric: Fabric, value: T) -> list[T]:
    """A plain value of each process, in the order of their ranks, for all of them."""
    if fabric.world_size == 1:
        return [value]
    values: list[T | None] = [None] * fabric.world_size
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def any_process(fabric: Fabric, flag: bool) -> bool:
    """Whether a flag is set in any process; for all of them the same."""
    return any(gather(fabric, flag))
