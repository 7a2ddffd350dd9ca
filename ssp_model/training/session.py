"""The processes of a training: they start together, keep their folder to themselves, and stop together."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from ssp_model.training.distributed import Placement, any_process, await_kill, make_fabric, start_processes
from ssp_model.training.stop import Interrupted, StopRequest, sole_user, stop_on_signals

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """The processes of a training, and whether one was told to stop.

    Attributes
    ----------
    fabric : Fabric
        Device, precision and processes.
    stop : StopRequest
        Whether this process was told to stop.
    """

    fabric: Fabric
    stop: StopRequest

    def any(self, *, flag: bool) -> bool:
        """Tell whether a flag is set in any process. All processes must call it."""
        return any_process(self.fabric, flag=flag)

    def is_told_to_stop(self) -> bool:
        """Tell whether any process was told to stop; all processes must ask."""
        return self.any(flag=bool(self.stop))

    def stop_now(self) -> None:
        """End the training.

        Raises
        ------
        Interrupted
        """
        raise Interrupted(self.stop.signal_number or signal.SIGTERM)


@contextmanager
def open_session(folder: Path, placement: Placement, *, precision: str, seed: int) -> Iterator[Session]:
    """Start the processes of a training, and lock its folder for them.

    Parameters
    ----------
    folder : path
        Folder of the checkpoint.
    placement : Placement
    precision : str
        As the config key `train.precision`.
    seed : int
        Random seed for the new weights.

    Raises
    ------
    InputError
        Another training uses the folder, or nothing here starts processes on several machines.
    SystemExit
        A signal told the training to stop, and the checkpoint is saved.
    """
    start_processes(placement)
    torch.set_num_threads(placement.threads)
    try:
        with sole_user(folder):
            fabric = make_fabric(precision, placement)
            fabric.launch()
            fabric.seed_everything(seed, verbose=False)
            with stop_on_signals() as stop:
                yield Session(fabric, stop)
    except Interrupted as interrupted:
        logger.info("stopped by %s; the same command resumes this training", interrupted)
        if interrupted.signal_number == signal.SIGTERM:
            await_kill()
        sys.exit(128 + interrupted.signal_number)
