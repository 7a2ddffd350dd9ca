"""How far a training is: plain numbers that the checkpoint holds."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np


@dataclass
class Epoch:
    """The current epoch.

    Attributes
    ----------
    number : int
        Counted from 1.
    num_batches : int
        Number of batches that are done and whose losses were read.
    losses, tasks : list
        Mean squared error and task of each crop of the epoch so far.
    seconds : float
        Time in its steps so far, including the wait for data.
    """

    number: int = 1
    num_batches: int = 0
    losses: list[float] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, losses: Sequence[float], tasks: Sequence[int]) -> None:
        """Add the losses of one more batch."""
        self.num_batches += 1
        self.losses += losses
        self.tasks += tasks


@dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    epoch : Epoch
        The current epoch; after the last one, the epoch that would follow.
    history : list of dict
        A row for each finished epoch.
    best_epoch, best_mse : int, float
        The epoch with the lowest mean validation MSE, and this MSE.
    seconds : float
        Time in finished epochs, including validation.
    event_bytes : int
        Length of the event log in bytes when the checkpoint was saved.
    """

    epoch: Epoch = field(default_factory=Epoch)
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_mse: float = math.inf
    seconds: float = 0.0
    event_bytes: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Return plain values for the checkpoint."""
        return asdict(self)

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """Return the progress that a checkpoint holds."""
        return cls(**{**state, "epoch": Epoch(**state["epoch"])})

    def has_stalled(self, early_stopping: int | None) -> bool:
        """Tell whether the last `early_stopping` validations brought no better model."""
        if early_stopping is None:
            return False
        since_best = [row for row in self.history if row["epoch"] > self.best_epoch and "val_mse" in row]
        return len(since_best) >= early_stopping

    def is_best(self, val_mse: float) -> bool:
        """Note a validation, and return whether it is the best so far."""
        if not val_mse < self.best_mse:
            return False
        self.best_epoch, self.best_mse = self.epoch.number, val_mse
        return True

    def finish_epoch(self, row: dict[str, float], validation_s: float) -> None:
        """Add a row to the history and begin the next epoch."""
        self.history.append(row)
        self.seconds += self.epoch.seconds + validation_s
        self.epoch = Epoch(self.epoch.number + 1)


def means(name: str, values: np.ndarray, tasks: np.ndarray, structures: Sequence[str]) -> dict[str, float]:
    """Return the mean over all samples as `{name}`, and of each structure as `{name}_{structure}`."""
    by_structure = {
        f"{name}_{structure}": float(values[tasks == task].mean())
        for task, structure in enumerate(structures)
        if (tasks == task).any()
    }
    return {name: float(values.mean()), **by_structure}
