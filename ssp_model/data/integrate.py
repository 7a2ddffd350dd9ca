"""Gathering the volumes of each split into one self-contained file, laid out as `dataset` tells."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

import ssp_model
from ssp_model.data.splits import SPLITS, check_disjoint
from ssp_model.data.volumes import SIGNAL, VolumesByPath
from ssp_model.files import replacing
from ssp_model.log import progress

logger = logging.getLogger(__name__)


def integrate(
    splits: Mapping[str, Mapping[str, str | Path]],
    volumes: Mapping[str, str | Path],
    datasets: Mapping[str, str | Path],
    config: Mapping[str, Any],
) -> None:
    """Gather the volumes of each split from those of the structures.

    Parameters
    ----------
    splits : mapping
        For each task, DNA included, the paths of its `train`, `val` and `test` lists.
    volumes : mapping
        For each structure, its HDF5 file of volumes.
    datasets : mapping
        For each split, the HDF5 file to write.
    config : mapping
        The configuration of the data, kept in each dataset as provenance.

    Raises
    ------
    InputError
        An image is in two splits, by its name or by its content, or is not among the volumes.
    """
    rows = {task: {split: pd.read_csv(of[split]) for split in SPLITS} for task, of in splits.items()}
    check_disjoint(rows)
    with VolumesByPath(volumes) as source:
        source.check_voxel_sizes()
        samples = {
            split: [(task, str(image)) for task in sorted(rows) for image in rows[task][split].path_czi]
            for split in datasets
        }
        source.check_sources(samples)
        for split, path in datasets.items():
            _write_dataset(Path(path), split, samples[split], source, config)


def _write_dataset(
    path: Path, split: str, samples: list[tuple[str, str]], source: VolumesByPath, config: Mapping[str, Any]
) -> None:
    signal_number: dict[str, int] = {}
    index: list[dict[str, object]] = []
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        signals, targets = file.create_group("signals"), file.create_group("targets")
        with progress(f"integrate {split}", len(samples), "samples") as advance:
            for number, (task, image) in enumerate(samples):
                group = source.group(image, task)
                if image not in signal_number:
                    signal_number[image] = len(signal_number)
                    _copy(group[SIGNAL], signals, signal_number[image], group)
                _copy(group[task], targets, number, group)
                index.append(_index_row(task, image, signal_number[image], number, group))
                advance(1)
        columns = pd.DataFrame(index)
        for column in columns:
            file[f"index/{column}"] = columns[column].to_numpy(
                dtype=h5py.string_dtype() if columns[column].dtype.kind not in "iuf" else None
            )
        file.attrs.update(
            split=split,
            tasks=sorted({task for task, _ in samples}),
            axes="ZYX",
            units="standardised: zero mean and unit standard deviation a raw image",
            voxel_size_um=np.median([group.attrs["voxel_size_um"] for group in signals.values()], axis=0),
            version=ssp_model.__version__,
            config=json.dumps(config),
        )
    logger.info("%s: %d samples of %d images", path, len(samples), len(signal_number))


def _copy(volume: h5py.Dataset, to: h5py.Group, number: int, image: h5py.Group) -> None:
    copy = to.create_dataset(f"{number:05d}", data=volume[()])
    copy.attrs.update(path_czi=image.attrs["path_czi"], voxel_size_um=image.attrs["voxel_size_um"])


def _index_row(task: str, image: str, signal_number: int, number: int, group: h5py.Group) -> dict[str, object]:
    signal, target = group[SIGNAL], group[task]
    return {
        "task": task,
        "path_czi": image,
        "signal": signal_number,
        "target": number,
        "source_sha256": group.attrs["source_sha256"],
        "source_bytes": group.attrs["source_bytes"],
        **{f"signal_{key}": signal.attrs[key] for key in ("channel", "channel_name", "mean", "std")},
        **{f"target_{key}": target.attrs[key] for key in ("channel", "channel_name", "mean", "std")},
    }
