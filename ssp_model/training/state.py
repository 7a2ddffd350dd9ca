"""The state of a training: saved now and then, so that one that is killed goes on as if it had not been.

The state lies in a folder of its own, outside a workflow's declared outputs (these are deleted before a rerun), and
names what it is a state of: another configuration or other data are refused, with the difference.
"""

import errno
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ssp_model.errors import InputError
from ssp_model.files import replacing

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"
FULL = re.compile("No space left|PytorchStreamWriter failed|Disk quota exceeded", re.IGNORECASE)


def save_state(folder: Path, identity: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Write the state, whole or not at all.

    Raises
    ------
    InputError
        The disk is full; the last state is kept.
    """
    with explain_full_disk(folder), replacing(folder / STATE_FILE) as temporary:
        torch.save({"identity": json.dumps(identity), **content}, temporary)


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
            "again: it goes on from the last state saved."
        ) from None


def load_state(folder: Path, identity: Mapping[str, Any], code: str) -> dict[str, Any] | None:
    """Read the state of a training, if there is one.

    One that has ended (it holds no `learner`) counts only if identity and code are the same.

    Parameters
    ----------
    folder : path
    identity : mapping
        What the training depends on: settings and data.
    code : str
        Digest of the source code.

    Raises
    ------
    InputError
        It is the state of another training, that has not ended: the differences are named.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    # numbers and plain containers only: reading it runs no code
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    before = _flat(json.loads(state.pop("identity")))
    now = _flat(json.loads(json.dumps(identity)))
    differences = [
        f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if "learner" not in state:
        return None if differences or state["code"] != code else state
    if differences:
        raise InputError(
            f"{path} is the state of an unfinished training that differs: {'; '.join(differences)}. Restore that, or "
            f"delete {folder} to start anew."
        )
    return state


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, `train.learning_rate` and so on."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}.{key}" if prefix else key).items()}
