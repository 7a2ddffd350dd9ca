"""Requests to stop a training, and the lock that allows only one training in a folder."""

import fcntl
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ssp_model.errors import InputError
from ssp_model.log import process_rank

logger = logging.getLogger(__name__)

LOCK_FILE = "lock"


class Interrupted(BaseException):
    """The training was told to stop, and its checkpoint is saved.

    Attributes
    ----------
    signal_number : int
        The signal that stopped it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


class StopRequest:
    """A signal that arrived. The training stops at the next point where it can save its checkpoint."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal. A second signal ends the process at once."""
        if self.signal_number is not None:
            raise KeyboardInterrupt
        self.signal_number = number
        logger.info("%s came: saving the state, then stopping", signal.Signals(number).name)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGINT and SIGUSR1 (clusters send it before they take a node back) into a request to stop."""
    request = StopRequest()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.signal(number, request.receive) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Let only one training use a checkpoint folder, also if another machine runs the other training.

    A job on a cluster may outlive the workflow that submitted it, and a second training would spoil its checkpoint. The
    lock ends with the process that holds it, in whatever way it ends. The first process of a training holds it.

    Raises
    ------
    InputError
        Another training uses the folder. The text says where it runs.
    """
    if process_rank() > 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"{folder} is in use by a training that still runs, {file.read() or 'just started'}; wait until it has "
                "ended, or end it, and run again: what it has learnt is kept."
            ) from None
        except OSError as error:
            logger.warning("%s can't be locked (%s): see to it that only one training uses it", folder, error)
        file.truncate(0)
        job = f", Slurm job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
        file.write(f"process {os.getpid()} on {socket.gethostname()}{job}")
        file.flush()
        yield
