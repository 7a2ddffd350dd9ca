"""What is told of a training: its event log, its history, the lines of its log."""

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssp_model.hardware import process_peak_memory_mb
from ssp_model.log import duration

logger = logging.getLogger(__name__)

LINE_EVERY_S = 15.0
"""Between validations, the log gets a line of an epoch at most this often."""


class EventLog:
    """JSON lines of what happened; after a resume it is cut back to where the state was saved."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, length: int) -> None:
        """Open, keeping the first `length` bytes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+", encoding="utf-8")
        if self.path.is_file():
            self._file.truncate(length)
            self._file.seek(0, os.SEEK_END)

    def write(self, event: dict[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(event) + "\n")

    def flush(self) -> int:
        """Bring all lines to the disk; returns the length in bytes."""
        self._file.flush()
        if not self.path.is_file():
            return 0
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """The last line is written."""
        self._file.close()


class Record:
    """Writes down how a training goes; of several processes, one does.

    Parameters
    ----------
    events : path
        The event log.
    tasks : list of str
        Structures, in the order of their numbers.
    epochs : int
        Of the whole training.
    """

    def __init__(self, events: Path, tasks: list[str], epochs: int) -> None:
        self.events, self.tasks, self.epochs = EventLog(events), tasks, epochs
        self.last_line = time.monotonic()

    def step(self, epoch: int, step: int, losses: list[float], labels: list[int]) -> None:
        """Note a step: the loss of each sample and its task."""
        mse = self.means("mse", np.array(losses), np.array(labels))
        self.events.write({"event": "step", "step": step, "epoch": epoch, **mse})

    def epoch(self, row: Mapping[str, float], is_best: bool, seconds: float) -> None:
        """Note an epoch; the log gets a line after each validation, and now and then between."""
        self.events.write({"event": "epoch", **row})
        now = time.monotonic()
        validated = "val_mse" in row
        if not validated and now - self.last_line < LINE_EVERY_S:
            return
        self.last_line = now
        validation = f", validation MSE {row['val_mse']:.4f}" + " (the best so far)" * is_best if validated else ""
        left_s = seconds * (self.epochs / row["epoch"] - 1)
        logger.info(
            "epoch %d of %d: training MSE %.4f%s, %.1f crops/s, %s left",
            row["epoch"], self.epochs, row["train_mse"], validation, row["crops_per_s"], duration(left_s),
        )  # fmt: skip

    def means(self, name: str, values: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Mean over all samples, and over those of each structure that has any."""
        by_structure = {
            f"{name}_{structure}": float(values[labels == task].mean())
            for task, structure in enumerate(self.tasks)
            if (labels == task).any()
        }
        return {name: float(values.mean()), **by_structure}


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far, in MiB: of the GPU, or of this process without one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return process_peak_memory_mb()
