"""Checkpoints: a killed training resumes as if it had never stopped.

A checkpoint lies in a folder of its own, outside a workflow's declared outputs (these are deleted before a rerun). It
names the training it belongs to; one of other settings or data is refused, with the difference.
"""

import errno
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.training.learner import Learner
from ssp_model.training.progress import Progress
from ssp_model.training.session import Session
from ssp_model.training.training_log import TrainingLog

FORMAT = 2
SAVE_EVERY_S = 180.0
"""A checkpoint is saved at least this often, besides at each validation."""
FULL = re.compile("No space left|PytorchStreamWriter failed|Disk quota exceeded", re.IGNORECASE)


class Checkpoint:
    """The checkpoint of a training, and the models that it keeps beside it.

    Parameters
    ----------
    folder : path
    session : Session
        The first of its processes writes.
    identity : mapping
        What the training depends on: settings and data, as plain values.
    code : str
        Digest of the source code.
    """

    def __init__(self, folder: Path, session: Session, *, identity: Mapping[str, Any], code: str) -> None:
        self.folder, self.session = folder, session
        self.identity, self.code = json.loads(json.dumps(identity)), code
        self.file = folder / "checkpoint.pt"
        self.best_model = folder / "best.safetensors"
        self.last_save = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Read the checkpoint of this training, if there is one.

        A finished training's checkpoint counts only if settings, data and code are the same.

        Returns
        -------
        dict or None
            `progress`, `learner` (None where the training is finished) and `is_finished`.

        Raises
        ------
        InputError
            It is of an unfinished training that differs, or that an earlier version began.
        """
        self._refuse_first_format()
        state = None
        if self.file.exists():
            # numbers and plain containers only: reading it runs no code
            state = torch.load(self.file, map_location="cpu", weights_only=True)
            before, now = _flat(json.loads(state["identity"])), _flat(self.identity)
            differences = [
                f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
                for key in sorted(before.keys() | now.keys())
                if before.get(key) != now.get(key)
            ]
            if differences and not state["is_finished"]:
                raise InputError(
                    f"{self.file} belongs to an unfinished training that differs: {'; '.join(differences)}. Restore "
                    f"these settings, or delete {self.folder} to start anew."
                )
            if state["is_finished"] and (differences or state["code"] != self.code):
                state = None
        # no process goes on, and perhaps deletes the file, before all have read it
        self.session.fabric.barrier()
        if state is None and self.session.fabric.is_global_zero:
            self.file.unlink(missing_ok=True)
        return state

    def _refuse_first_format(self) -> None:
        """Refuse the unfinished training that version 0.1.0 left; forget a finished one."""
        path = self.folder / "state.pt"
        if path.exists() and "learner" in torch.load(path, map_location="cpu", weights_only=True, mmap=True):
            raise InputError(
                f"{path} belongs to an unfinished training that ssp_model 0.1.0 began and this version can't resume; "
                f"finish it with that version, or delete {self.folder} to start anew."
            )

    def save_if_due(self, learner: Learner, progress: Progress, log: TrainingLog) -> None:
        """Save now and then, and when told to stop; all processes at the same step."""
        if self.session.any(bool(self.session.stop) or time.monotonic() - self.last_save >= SAVE_EVERY_S):
            self.save(learner, progress, log)

    def save(self, learner: Learner, progress: Progress, log: TrainingLog) -> None:
        """Save everything that changes, whole or not at all; the losses must all have been collected.

        Raises
        ------
        InputError
            The disk is full; the last checkpoint is kept.
        """
        self._write(progress, log, learner.state_dict())
        self.last_save = time.monotonic()

    def finish(self, progress: Progress, log: TrainingLog) -> None:
        """Keep the best model and the history, but not the optimizer.

        The workflow that waits for the results may have died; its next run takes them from here.
        """
        self._write(progress, log, None)

    def _write(self, progress: Progress, log: TrainingLog, learner: dict[str, Any] | None) -> None:
        progress.event_bytes = log.flush()
        if self.session.fabric.is_global_zero:
            state = {
                "format": FORMAT,
                "identity": json.dumps(self.identity),
                "code": self.code,
                "is_finished": learner is None,
                "progress": progress.state_dict(),
                "learner": learner,
            }
            with explain_full_disk(self.folder), replacing(self.file) as temporary:
                torch.save(state, temporary)
            log.track(progress.event_bytes)
        self.session.fabric.barrier()


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Turn a full disk into a sentence; what was saved before is kept."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch's and safetensors' writers report a full disk in words of their own
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else FULL.search(str(error))
        if not full:
            raise
        raise InputError(
            f"The training can't be saved in {folder} ({str(error).splitlines()[0]}); free some space there and run "
            "again: it resumes from the last checkpoint."
        ) from None


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level: `train.learning_rate` and so on."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}.{key}" if prefix else key).items()}
