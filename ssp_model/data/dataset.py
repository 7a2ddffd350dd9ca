"""The dataset of a split: one self-contained HDF5 file, for training and for evaluation.

```
/signals/{number}   transmitted light, (Z, Y, X), float32, standardised; each image once, whatever its uses
/targets/{number}   fluorescence of one structure, likewise; one a sample
/index/{column}     one entry a sample: task, image, signal and target (the numbers above), statistics, source; group,
                    if the table of samples has groups
attributes          tasks, axes, units, voxel_size_um, split, version, config
```
Volumes are stored in one piece, uncompressed: a crop is read without touching the rest.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd

import ssp_model
from ssp_model.config.schema import ZYX
from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.images.description import SAME_VOXEL_SIZE, Voxels
from ssp_model.log import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Volume:
    """One channel of an image at training resolution.

    Attributes
    ----------
    voxels : array or HDF5 dataset
        (Z, Y, X), float32, standardised.
    channel : int
        Its number in the raw image, counted from 0.
    channel_name : str
        Its name there.
    mean, std : float
        Mean and standard deviation of the raw channel, in counts.
    """

    voxels: Voxels
    channel: int
    channel_name: str
    mean: float
    std: float


@dataclass(frozen=True)
class Sample:
    """One signal with one target, and where they are from.

    Attributes
    ----------
    task : str
        The structure that the target shows.
    image : str
        The raw image, as its image list names it.
    source_sha256, source_bytes : str, int
        Checksum and size of the raw image.
    pixel_size_um, voxel_size_um : ndarray
        Z, Y, X, of the raw image and of its volumes; NaN where it is not known.
    signal, target : Volume
    group : str
        Plate, day, donor, ...; empty if the table of samples has none.
    """

    task: str
    image: str
    source_sha256: str
    source_bytes: int
    pixel_size_um: np.ndarray
    voxel_size_um: np.ndarray
    signal: Volume
    target: Volume
    group: str = ""


def write_dataset(path: str | Path, samples: Iterable[Sample], split: str, config: Mapping[str, Any]) -> None:
    """Write the dataset of a split.

    Parameters
    ----------
    path : path
        HDF5 file to write.
    samples : iterable of Sample
        One by one; samples of the same image share its signal.
    split : str
        `train`, `val` or `test`.
    config : mapping
        The configuration of the data, kept as provenance.
    """
    signals: dict[str, int] = {}
    voxel_sizes: list[np.ndarray] = []
    rows: list[dict[str, object]] = []
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for number, sample in enumerate(samples):
            if sample.image not in signals:
                signals[sample.image] = len(signals)
                voxel_sizes.append(sample.voxel_size_um)
                _write_volume(file, _signal_name(signals[sample.image]), sample.signal, sample)
            _write_volume(file, _target_name(number), sample.target, sample)
            rows.append(_index_row(sample, signals[sample.image], number))
        index = pd.DataFrame(rows)
        if not index.group.any():
            index = index.drop(columns="group")
        for column in index:
            is_number = index[column].dtype.kind in "iuf"
            file[f"index/{column}"] = index[column].to_numpy(dtype=None if is_number else h5py.string_dtype())
        file.attrs.update(
            split=split,
            tasks=sorted(set(index.task)),
            axes="ZYX",
            units="standardised: zero mean and unit standard deviation a raw image",
            voxel_size_um=np.median(voxel_sizes, axis=0),
            version=ssp_model.__version__,
            config=json.dumps(config),
        )
    logger.info("%s: %s of %s", path, counted(len(rows), "sample"), counted(len(signals), "image"))


def shared_groups(groups: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return the groups that both have."""
    return sorted({*groups} & {*others} - {""})


def _signal_name(number: int) -> str:
    return f"signals/{number:05d}"


def _target_name(number: int) -> str:
    return f"targets/{number:05d}"


def _write_volume(file: h5py.File, name: str, volume: Volume, sample: Sample) -> None:
    written = file.create_dataset(name, data=volume.voxels[()])
    written.attrs.update(image=sample.image, pixel_size_um=sample.pixel_size_um, voxel_size_um=sample.voxel_size_um)


def _index_row(sample: Sample, signal_number: int, target_number: int) -> dict[str, object]:
    return {
        "task": sample.task,
        "image": sample.image,
        "group": sample.group,
        "signal": signal_number,
        "target": target_number,
        "source_sha256": sample.source_sha256,
        "source_bytes": sample.source_bytes,
        **_index_columns("signal", sample.signal),
        **_index_columns("target", sample.target),
    }


def _index_columns(role: str, volume: Volume) -> dict[str, object]:
    return {
        f"{role}_channel": volume.channel,
        f"{role}_channel_name": volume.channel_name,
        f"{role}_mean": volume.mean,
        f"{role}_std": volume.std,
    }


class Dataset:
    """A split's dataset, open for reading.

    Parameters
    ----------
    path : path
    structures : sequence of str, optional
        Leave out the samples of all other structures. The numbers of those that stay are still those of the file.

    Attributes
    ----------
    index : DataFrame
        One row a sample, with the columns of `/index`. The label of a row is the number of the sample.
    tasks : list of str
        All tasks, alphabetically; unless numbered otherwise, a sample's task as a number is its place here.
    voxel_size_um : tuple of float, or None
        Z, Y, X; None where the source images had no pixel sizes.
    """

    def __init__(self, path: str | Path, structures: Sequence[str] | None = None) -> None:
        try:
            self._file = h5py.File(path, "r")
        except FileNotFoundError:
            raise InputError(f"{path} does not exist; check the path.") from None
        except OSError as error:
            raise InputError(f"{path} can't be read as a dataset ({error}); integrate it again.") from None
        if "index" not in self._file or not {"tasks", "voxel_size_um", "config"} <= self._file.attrs.keys():
            self._file.close()
            raise InputError(
                f"{path} is not a dataset: it has no index of samples (a file of results/volumes has none); give a "
                "file such as results/datasets/test.h5."
            )
        self.path = Path(path)
        self.tasks = [str(task) for task in self._file.attrs["tasks"]]
        z, y, x = (float(size) for size in self._file.attrs["voxel_size_um"])
        self.voxel_size_um = (z, y, x) if np.isfinite([z, y, x]).all() else None
        columns = {name: column[()] for name, column in self._file["index"].items()}
        self.index = pd.DataFrame(
            {name: [v.decode() for v in c] if c.dtype.kind == "O" else c for name, c in columns.items()}
        )
        # version 0.1.0 had this name for it
        self.index = self.index.rename(columns={"path_czi": "image"})
        if structures is not None:
            self._leave_out_others(structures)
        self.number_tasks(self.tasks)

    def _leave_out_others(self, structures: Sequence[str]) -> None:
        missing = sorted(set(structures) - set(self.tasks))
        if missing:
            self._file.close()
            raise InputError(
                f"{self.path} has no samples of {', '.join(missing)}; it has those of {', '.join(self.tasks)}. Give a "
                "dataset with all structures that are wanted, or want others."
            )
        self.tasks = sorted(set(structures))
        self.index = self.index[self.index.task.isin(self.tasks)]

    def number_tasks(self, tasks: Sequence[str]) -> None:
        """Set the number of each sample's task to its place in `tasks`, such as those of a model.

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
        self.index = self.index.assign(task_number=[number[task] for task in self.index.task])

    def __len__(self) -> int:
        return len(self.index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def digest(self) -> str:
        """Return a digest of which images and channels the dataset holds and how they were made."""
        # crops depend on the numbers of the samples, which may have gaps where some are left out
        has_gaps = not self.index.index.equals(pd.RangeIndex(len(self.index)))
        text = self.index.to_csv(index=has_gaps) + json.dumps(self.config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def signal(self, sample: int) -> h5py.Dataset:
        """Return the transmitted light of a sample, (Z, Y, X)."""
        return self._file[_signal_name(self.index.signal[sample])]

    def pixel_size_um(self, sample: int) -> list[float | None]:
        """Return the voxel size of the raw image of a sample, Z, Y, X; None where it is not known."""
        # datasets of earlier versions don't have it
        sizes = self.signal(sample).attrs.get("pixel_size_um", (np.nan,) * 3)
        return [float(size) if np.isfinite(size) else None for size in sizes]

    def target(self, sample: int) -> h5py.Dataset:
        """Return the fluorescence of a sample's structure, (Z, Y, X)."""
        return self._file[_target_name(self.index.target[sample])]

    def scale_z(self, sample: int) -> float:
        """Return the factor by which a sample's planes became more or fewer; NaN if the dataset does not tell."""
        scale = self.config.get("preprocess", {}).get("scale")
        if scale:
            return float(scale[0])
        # datasets of earlier versions don't have the first
        sizes = [self.target(sample).attrs.get(name) for name in ("pixel_size_um", "voxel_size_um")]
        return float("nan") if sizes[0] is None else float(sizes[0][0] / sizes[1][0])

    def check_voxel_size(self, wanted_um: ZYX | None) -> None:
        """Refuse a model that was trained at another voxel size (Z, Y, X), if both are known.

        Raises
        ------
        InputError
        """
        if self.voxel_size_um and wanted_um:
            ratio = np.array(self.voxel_size_um) / np.array(wanted_um)
            if np.abs(ratio - 1).max() > SAME_VOXEL_SIZE:
                raise InputError(
                    f"{self.path} has voxels of {in_um(self.voxel_size_um)} (Z, Y, X), but the model was trained at "
                    f"{in_um(wanted_um)}; convert the images with preprocess.voxel_size_um set to the model's."
                )

    def image_bytes(self) -> int:
        """Return the bytes of all signals and targets of the samples."""
        volumes = [_signal_name(number) for number in self.index.signal.unique()]
        volumes += [_target_name(number) for number in self.index.target]
        return sum(self._file[name].nbytes for name in volumes)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration the dataset was made with."""
        return json.loads(self._file.attrs["config"])


def in_um(size: Sequence[float] | np.ndarray) -> str:
    """Write a size in three dimensions as text."""
    return " x ".join(f"{value:.3f}" for value in size) + " um"
