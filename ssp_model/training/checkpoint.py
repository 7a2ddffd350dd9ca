"""Checkpoints: a killed training resumes as if it had never stopped.

A checkpoint has a folder of its own. It is not a declared output of the workflow, as outputs are deleted before a
rerun. It names the training it belongs to. A checkpoint of other settings or data is refused, and the difference is
named.
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
"""A checkpoint is saved at least this often, and at each validation."""
FULL = re.compile("No space left|PytorchStreamWriter failed|Disk quota exceeded", re.IGNORECASE)


class Checkpoint:
    """The checkpoint of a training, and the models beside it.

    Parameters
    ----------
    folder : path
    session : Session
        The first process writes.
    identity : mapping
        What the training depends on, settings and data, as plain values.
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

        The checkpoint of a finished training counts only if settings, data and code are the same.

        Returns
        -------
        dict or None
            `progress`, `learner` (None if the training is finished) and `is_finished`.

        Raises
        ------
        InputError
            It belongs to an unfinished training with other settings or data, or of an earlier version.
        """
        self._refuse_first_format()
        state = self._read() if self.file.exists() else None
        if state is not None:
            before, now = _flat(json.loads(state["identity"])), _flat(self.identity)
            changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
            if changed and not state["is_finished"]:
                differences = "; ".join(f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in changed)
                raise InputError(
                    f"{self.file} belongs to an unfinished training that differs: {differences}. Restore these "
                    f"settings, or delete {self.folder} to start anew."
                )
            if state["is_finished"] and (changed or state["code"] != self.code):
                state = None
        # the first process may delete the file, but only after all have read it
        self.session.fabric.barrier()
        if state is None and self.session.fabric.is_global_zero:
            self.file.unlink(missing_ok=True)
        return state

    def _read(self) -> dict[str, Any]:
        try:
            # only numbers and plain containers, so reading it runs no code
            state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        # whatever stands in a damaged file, torch may stumble over it in any way
        except Exception as error:
            raise InputError(
                f"{self.file} is damaged ({type(error).__name__}); delete {self.folder} to start anew."
            ) from None
        if state.get("format") != FORMAT:
            raise InputError(
                f"{self.file} has the format {state.get('format')}, but this version of ssp_model reads {FORMAT}; "
                f"finish the training with the version that began it, or delete {self.folder} to start anew."
            )
        return state

    def _refuse_first_format(self) -> None:
        """Refuse an unfinished training of version 0.1.0; ignore a finished one."""
        path = self.folder / "state.pt"
        if path.exists() and "learner" in torch.load(path, map_location="cpu", weights_only=True, mmap=True):
            raise InputError(
                f"{path} belongs to an unfinished training that ssp_model 0.1.0 began and this version can't resume; "
                f"finish it with that version, or delete {self.folder} to start anew."
            )

    def is_due(self) -> bool:
        """Tell whether this process has not saved for long."""
        return time.monotonic() - self.last_save >= SAVE_EVERY_S

    def save(self, learner: Learner, progress: Progress, log: TrainingLog) -> None:
        """Save everything that changes, completely or not at all. All losses must have been collected.

        Raises
        ------
        InputError
            The disk is full. The last checkpoint is kept.
        """
        self._write(progress, log, learner.state_dict())
        self.last_save = time.monotonic()

    def finish(self, progress: Progress, log: TrainingLog) -> None:
        """Keep the best model and the history, but not the optimizer.

        The workflow that waits for the results may have died. Its next run takes them from here.
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
    """Turn the error of a full disk into a sentence. What was saved before is kept."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch and safetensors report a full disk in their own words
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else FULL.search(str(error))
        if not full:
            raise
        raise InputError(
            f"The training can't be saved in {folder} ({str(error).splitlines()[0]}); free some space there and run "
            "again: it resumes from the last checkpoint."
        ) from None


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level, with keys such as `train.learning_rate`."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}.{key}" if prefix else key).items()}
