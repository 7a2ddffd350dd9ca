"""The log of a training: events as JSON lines, lines for people, and what the tracker gets."""

import json
import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from ssp_model.data.dataset import Dataset
from ssp_model.hardware import device_name, process_peak_memory_mb
from ssp_model.log import duration, settings_text
from ssp_model.nn.method import Method
from ssp_model.training.distributed import gather
from ssp_model.training.losses import StepLosses
from ssp_model.training.progress import Epoch, Progress, means
from ssp_model.training.recipe import Recipe
from ssp_model.training.tracking import Tracker

logger = logging.getLogger(__name__)

EVENTS = "events.jsonl"
"""Name of the event log in the folder of the checkpoint."""
LINE_EVERY_S = 15.0
"""Between validations, the log gets a line at most this often."""


class EventLog:
    """Events as JSON lines. A resumed training cuts the file back to where its checkpoint was saved.

    Parameters
    ----------
    path : path
        The file, or `/dev/null` for a process that writes nothing.
    length : int
        Number of bytes of the existing file to keep.
    """

    def __init__(self, path: Path, length: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+", encoding="utf-8")
        if path.is_file():
            self._file.truncate(length)
            self._file.seek(0, os.SEEK_END)

    def write(self, event: dict[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(event) + "\n")

    def flush(self) -> int:
        """Write all lines to the disk, and return the length of the file in bytes."""
        self._file.flush()
        if not self.path.is_file():
            return 0
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TrainingLog:
    """Record how a training goes. The first of several processes writes.

    Parameters
    ----------
    events : EventLog
    tracker : Tracker
    structures : sequence of str
        In the order of the tasks.
    steps_per_epoch, num_epochs : int
    """

    def __init__(
        self,
        events: EventLog,
        tracker: Tracker,
        *,
        structures: Sequence[str],
        steps_per_epoch: int,
        num_epochs: int,
    ) -> None:
        self.events, self.tracker, self.structures = events, tracker, structures
        self.steps_per_epoch, self.num_epochs = steps_per_epoch, num_epochs
        self.last_line = time.monotonic()

    def steps(self, epoch: Epoch, steps: Sequence[StepLosses]) -> None:
        """Write the last steps of an epoch: the mean loss of each step, over all crops and by structure."""
        first = (epoch.number - 1) * self.steps_per_epoch + epoch.num_batches - len(steps) + 1
        for number, step in enumerate(steps, start=first):
            mse = means("mse", np.array(step.losses), np.array(step.tasks), self.structures)
            self.events.write({"event": "step", "step": number, "epoch": epoch.number, **mse})

    def epoch(self, row: dict[str, float], progress: Progress) -> None:
        """Write a finished epoch. People get a line after each validation, and once in a while between."""
        self.events.write({"event": "epoch", **row})
        now = time.monotonic()
        validated = "val_mse" in row
        if not validated and now - self.last_line < LINE_EVERY_S:
            return
        self.last_line = now
        is_best = progress.best_epoch == row["epoch"]
        validation = f", validation MSE {row['val_mse']:.4f}" + " (the best so far)" * is_best if validated else ""
        left_s = progress.seconds * (self.num_epochs / row["epoch"] - 1)
        logger.info(
            "epoch %d of %d: training MSE %.4f%s, %.1f crops/s, %s left",
            row["epoch"], self.num_epochs, row["train_mse"], validation, row["crops_per_s"], duration(left_s),
        )  # fmt: skip

    def flush(self) -> int:
        """Write all events to the disk, and return the length of the event log in bytes."""
        return self.events.flush()

    def track(self, length: int) -> None:
        """Let the tracker copy what is new in the first `length` bytes of the event log."""
        self.tracker.catch_up(self.events.path, length)


@contextmanager
def open_events(folder: Path, length: int, *, writes: bool) -> Iterator[EventLog]:
    """Open the event log of a training, and close it at the end.

    Parameters
    ----------
    folder : path
        Folder of the checkpoint.
    length : int
        Number of bytes of the existing file to keep.
    writes : bool
        Whether this process writes events. The first of several does.
    """
    events = EventLog(folder / EVENTS if writes else Path(os.devnull), length)
    try:
        yield events
    finally:
        events.close()


def announce(fabric: Fabric, network: Method, recipe: Recipe, train_set: Dataset, val_set: Dataset) -> None:
    """Log what is trained, on what, and where."""
    places = gather(fabric, os.environ.get("SLURMD_NODENAME") or socket.gethostname())
    processes = f" x {len(places)} ({', '.join(places)})" if len(places) > 1 else ""
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    settings = settings_text(recipe.model.model_dump(exclude={"method"}))
    logger.info(
        "%s (%s, %s parameters) for %d structures: %d training and %d validation samples, "
        "%d epochs of %d steps, on %s in %s",
        network.title, settings, f"{num_parameters:,}", len(train_set.tasks),
        len(train_set), len(val_set), recipe.train.epochs, math.ceil(len(train_set) / recipe.train.batch_size),
        device_name() + processes, fabric._precision.precision,
    )  # fmt: skip


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory so far in MiB: of the GPU, or of this process if there is no GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return process_peak_memory_mb()
