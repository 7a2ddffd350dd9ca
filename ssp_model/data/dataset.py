"""The dataset of a split: one self-contained HDF5 file, for training and for evaluation.

```
/signals/{number}   transmitted light, (Z, Y, X), float32, standardised; each image once, whatever its uses
/targets/{number}   fluorescence of one structure, likewise; one a sample
/index/{column}     one entry a sample: task, path_czi, signal and target (the numbers above), statistics, source
attributes          tasks, axes, units, voxel_size_um, split, version, config
```
Volumes are stored in one piece, uncompressed: a crop is read without touching the rest.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd

from ssp_model.errors import InputError

SAME_VOXEL_SIZE = 0.02
"""Voxel sizes that differ by less than this share are the same: below what the network notices."""


class Dataset:
    """A split's dataset, open for reading.

    Attributes
    ----------
    index : DataFrame
        One row a sample, with the columns of `/index`.
    tasks : list of str
        All tasks, alphabetically; unless numbered otherwise, a sample's task as a number is its place here.
    voxel_size_um : tuple of float, or None
        Z, Y, X; None where the source images had no pixel sizes.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise InputError(f"{path} can't be read as a dataset ({error}); integrate it again.") from None
        self.path = Path(path)
        self.tasks = [str(task) for task in self._file.attrs["tasks"]]
        z, y, x = (float(size) for size in self._file.attrs["voxel_size_um"])
        self.voxel_size_um = (z, y, x) if np.isfinite([z, y, x]).all() else None
        columns = {name: column[()] for name, column in self._file["index"].items()}
        self.index = pd.DataFrame(
            {name: [v.decode() for v in c] if c.dtype.kind == "O" else c for name, c in columns.items()}
        )
        self.number_tasks(self.tasks)

    def number_tasks(self, tasks: Sequence[str]) -> None:
        """Number the samples' tasks by their places in `tasks`, such as those of a model.

        Raises
        ------
        InputError
            The dataset has a task that is not among them.
        """
        unknown = sorted(set(self.index.task) - set(tasks))
        if unknown:
            raise InputError(
                f"{self.path} has samples of {', '.join(unknown)}, but the model predicts {', '.join(tasks)} only; "
                "train with these structures, or leave them out of the dataset."
            )
        number = {task: number for number, task in enumerate(tasks)}
        self.index["task_number"] = [number[task] for task in self.index.task]

    def __len__(self) -> int:
        return len(self.index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def digest(self) -> str:
        """A digest of which images and channels the dataset holds and how they were made."""
        text = self.index.to_csv(index=False) + json.dumps(self.config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def signal(self, sample: int) -> h5py.Dataset:
        """Transmitted light of a sample, (Z, Y, X)."""
        return self._file["signals"][f"{self.index.signal[sample]:05d}"]

    def target(self, sample: int) -> h5py.Dataset:
        """Fluorescence of a sample's structure, (Z, Y, X)."""
        return self._file["targets"][f"{self.index.target[sample]:05d}"]

    def image_bytes(self) -> int:
        """Size of all signals and targets."""
        return sum(volume.nbytes for group in ("signals", "targets") for volume in self._file[group].values())

    @property
    def config(self) -> dict[str, Any]:
        """The configuration the dataset was made with."""
        return json.loads(self._file.attrs["config"])


def in_um(size: Sequence[float] | np.ndarray) -> str:
    """A size in three dimensions, as text."""
    return " x ".join(f"{value:.3f}" for value in size) + " um"
