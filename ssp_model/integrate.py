"""Gathering the volumes of each split into one self-contained file, laid out as `dataset` tells."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
import pandas as pd

import ssp_model
from ssp_model.dataset import SAME_VOXEL_SIZE, in_um
from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.log import progress
from ssp_model.splits import SPLITS, check_disjoint
from ssp_model.volumes import SIGNAL

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


class StoredVolumes(NamedTuple):
    """Where the volumes of an image are, and what must be known of all images at once."""

    structure: str
    group: str
    voxel_size_um: np.ndarray
    source_sha256: str


class VolumesByPath:
    """The volumes of all structures, found by `path_czi`; one file is open at a time, however many there are."""

    def __init__(self, volumes: Mapping[str, str | Path]) -> None:
        self._volumes = volumes
        self._open: tuple[str, h5py.File] | None = None
        self._images = {
            group.attrs["path_czi"]: StoredVolumes(
                structure, name, group.attrs["voxel_size_um"], str(group.attrs["source_sha256"])
            )
            for structure in volumes
            for name, group in self._file(structure).items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._open[1].close()

    def _file(self, structure: str) -> h5py.File:
        if self._open and self._open[0] == structure:
            return self._open[1]
        if self._open:
            self._open[1].close()
        self._open = structure, h5py.File(self._volumes[structure], "r")
        return self._open[1]

    def group(self, path_czi: str, role: str) -> h5py.Group:
        """The group of an image that has a volume of this role; good until the next is asked for."""
        image = self._images.get(path_czi)
        group = self._file(image.structure)[image.group] if image else None
        if group is None or role not in group:
            where = self._volumes[image.structure] if image else f"the volumes of {', '.join(self._volumes)}"
            raise InputError(
                f"{path_czi} has no {role} volume in {where}; convert again (snakemake --forcerun convert_archive)."
            )
        return group

    def check_voxel_sizes(self) -> None:
        """A network learns at one voxel size: say so of a mixture, naming two images that differ.

        With factors given explicitly, as published, that is the user's choice.
        """
        known = [
            (image.voxel_size_um, path)
            for path, image in self._images.items()
            if np.isfinite(image.voxel_size_um).all()
        ]
        if not known:
            return
        first, first_path = known[0]
        for size, path in known[1:]:
            if np.abs(size / first - 1).max() > SAME_VOXEL_SIZE:
                logger.warning(
                    "voxel sizes differ after resizing: %s in %s, %s in %s (Z, Y, X); preprocess.voxel_size_um instead "
                    "of preprocess.scale would bring all to one",
                    in_um(first), first_path, in_um(size), path,
                )  # fmt: skip
                return

    def check_sources(self, samples: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Refuse a file that is in two splits under different names, by the digest of its content."""
        place: dict[str, tuple[str, str]] = {}
        for split, images in samples.items():
            for task, image in images:
                self.group(image, task)
                digest = self._images[image].source_sha256
                first_split, first_image = place.setdefault(digest, (split, image))
                if first_split != split:
                    raise InputError(
                        f"{first_image} ({first_split}) and {image} ({split}) are the same file, so a model would be "
                        "measured on what it has learnt from; take one of them off its image list."
                    )


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
