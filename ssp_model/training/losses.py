"""Losses of the training steps. They are read every few steps, because reading each would make a GPU wait."""

import math
import time
from itertools import chain
from typing import NamedTuple

from lightning_fabric import Fabric
from torch import Tensor

from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.training.distributed import gather
from ssp_model.training.loader import Batch
from ssp_model.training.progress import Epoch

MOST_STEPS = 20
"""Losses are read after this number of steps, or earlier."""
LOOK_EVERY_S = 2.0
"""If steps are long, losses are read about this often. Requests to stop are then noticed."""


class StepLosses(NamedTuple):
    """Losses of one step over all processes: mean squared error, task and sample of each crop."""

    losses: list[float]
    tasks: list[int]
    samples: list[int]


class Losses:
    """Losses of the steps that were not read yet.

    Parameters
    ----------
    fabric : Fabric
        Device and processes.
    train_set : Dataset
        It names the images if a loss is not a finite number.
    """

    def __init__(self, fabric: Fabric, train_set: Dataset) -> None:
        self.fabric, self.train_set = fabric, train_set
        self.pending: list[tuple[Tensor, Tensor, Tensor]] = []
        # the time of a step is known after the first one
        self.due_after, self.last_look = 1, time.monotonic()

    def start_epoch(self) -> None:
        """Count the time from now on; validation before it does not count."""
        self.last_look = time.monotonic()

    def add(self, loss_N: Tensor, batch: Batch) -> None:
        """Add a step: the loss of each crop of this process, (N,)."""
        self.pending.append((loss_N, batch.task, batch.sample))

    def are_due(self) -> bool:
        """Tell whether to read the losses now. All processes get the same answer."""
        return len(self.pending) >= self.due_after

    def collect(self, epoch: Epoch) -> list[StepLosses]:
        """Read the losses of the last steps of all processes, and add them to the epoch.

        Raises
        ------
        InputError
            A loss is not a finite number. The text names the step, structures and images.
        """
        mine = [[tensor.tolist() for tensor in (loss_N.float(), task, sample)] for loss_N, task, sample in self.pending]
        now = time.monotonic()
        elapsed_s, self.last_look = now - self.last_look, now
        epoch.seconds += elapsed_s
        if not self.pending:
            return []
        self.pending = []
        of_processes = gather(self.fabric, (mine, elapsed_s / len(mine)))
        # all processes look at the same step: the slowest says when
        step_s = max(seconds for _, seconds in of_processes)
        self.due_after = min(max(int(LOOK_EVERY_S / max(step_s, 1e-9)), 1), MOST_STEPS)
        steps = []
        for shares in zip(*(share for share, _ in of_processes), strict=True):
            step = StepLosses(*(list(chain(*parts)) for parts in zip(*shares, strict=True)))
            self._check(step, epoch)
            epoch.add(step.losses, step.tasks)
            steps.append(step)
        return steps

    def _check(self, step: StepLosses, epoch: Epoch) -> None:
        bad = [sample for sample, loss in zip(step.samples, step.losses, strict=True) if not math.isfinite(loss)]
        if bad:
            index = self.train_set.index
            images = ", ".join(f"{index.task[sample]} in {index.image[sample]}" for sample in bad)
            raise InputError(
                f"The training loss is not a finite number in step {epoch.num_batches + 1} of epoch {epoch.number}, "
                f"for {images}; lower train.learning_rate, set train.gradient_clip, or set train.precision to float32."
            )
