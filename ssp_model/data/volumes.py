"""The file of volumes, `results/volumes/{structure}.h5`: each image of a structure once, at training resolution.

```
/{row}              an image, named by its row in the image list (0000, 0001, ...)
/{row}/signal       transmitted light, (Z, Y, X), float32, standardised
/{row}/{task}       fluorescence, likewise; one a task: the structure's name, the DNA's name
attributes          structure, axes, content, preprocess, version; of an image its path_czi, sizes and source;
                    of a volume its channel, channel_name, mean and std
```
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import h5py
import numpy as np

import ssp_model
from ssp_model.data.dataset import SAME_VOXEL_SIZE, Sample, Volume, in_um
from ssp_model.errors import InputError
from ssp_model.files import replacing

logger = logging.getLogger(__name__)

SIGNAL = "signal"


@dataclass(frozen=True)
class ImageJob:
    """What to convert of one image: the channel of each role (`signal`, and the tasks it has a target for)."""

    row: int
    path_czi: str
    channels: dict[str, int]


@dataclass
class ConvertedImage:
    """The volumes of one image by role, and what is wrong with the roles that are missing."""

    job: ImageJob
    volumes: dict[str, Volume] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    voxel_size_um: tuple[float, ...] = (np.nan,) * 3
    pixel_size_um: tuple[float, ...] = (np.nan,) * 3
    source_bytes: int = 0
    source_sha256: str = ""


@contextmanager
def new_volumes(
    path: str | Path, structure: str, preprocess: Mapping[str, object]
) -> Iterator[Callable[[ConvertedImage], None]]:
    """Write a file of volumes; yields a function that adds an image to it.

    Parameters
    ----------
    path : path
        HDF5 file to write.
    structure : str
    preprocess : mapping
        How the images were resized, kept as provenance.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(
            structure=structure,
            axes="ZYX",
            content="standardised to zero mean and unit standard deviation, then resized",
            preprocess=json.dumps(preprocess),
            version=ssp_model.__version__,
        )
        yield lambda image: _write_image(file, image)


def _write_image(file: h5py.File, image: ConvertedImage) -> None:
    group = file.create_group(f"{image.job.row:04d}")
    group.attrs.update(
        path_czi=image.job.path_czi,
        source_bytes=image.source_bytes,
        source_sha256=image.source_sha256,
        pixel_size_um=image.pixel_size_um,
        voxel_size_um=image.voxel_size_um,
    )
    for role, volume in image.volumes.items():
        dataset = group.create_dataset(role, data=volume.voxels)
        dataset.attrs.update(channel=volume.channel, channel_name=volume.channel_name, mean=volume.mean, std=volume.std)


def _read_volume(dataset: h5py.Dataset) -> Volume:
    return Volume(dataset, *(dataset.attrs[name] for name in ("channel", "channel_name", "mean", "std")))


class StoredVolumes(NamedTuple):
    """Where the volumes of an image are, and what must be known of all images at once."""

    structure: str
    group: str
    voxel_size_um: np.ndarray
    source_sha256: str


class VolumesByPath:
    """The volumes of all structures, found by `path_czi`; one file is open at a time, however many there are.

    Parameters
    ----------
    volumes : mapping
        For each structure, its HDF5 file of volumes.
    """

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

    def sample(self, path_czi: str, task: str) -> Sample:
        """Return an image's signal and its target of a task; voxels are read when asked for, before the next sample.

        Raises
        ------
        InputError
            There is no such volume.
        """
        group = self._group(path_czi, task)
        return Sample(
            task=task,
            path_czi=path_czi,
            source_sha256=group.attrs["source_sha256"],
            source_bytes=group.attrs["source_bytes"],
            voxel_size_um=group.attrs["voxel_size_um"],
            signal=_read_volume(group[SIGNAL]),
            target=_read_volume(group[task]),
        )

    def _group(self, path_czi: str, role: str) -> h5py.Group:
        image = self._images.get(path_czi)
        group = self._file(image.structure)[image.group] if image else None
        if group is None or role not in group:
            where = self._volumes[image.structure] if image else f"the volumes of {', '.join(self._volumes)}"
            raise InputError(
                f"{path_czi} has no {role} volume in {where}; convert again (snakemake --forcerun convert_archive)."
            )
        return group

    def check_voxel_sizes(self) -> None:
        """Warn of mixed voxel sizes, naming two images that differ: a network learns at one voxel size.

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
        """Refuse a file that is in two splits under different names, by the checksum of its content.

        Parameters
        ----------
        samples : mapping
            For each split, task and `path_czi` of its samples.

        Raises
        ------
        InputError
            A file is in two splits, or a volume is missing.
        """
        place: dict[str, tuple[str, str]] = {}
        for split, images in samples.items():
            for task, image in images:
                self._group(image, task)
                digest = self._images[image].source_sha256
                first_split, first_image = place.setdefault(digest, (split, image))
                if first_split != split:
                    raise InputError(
                        f"{first_image} ({first_split}) and {image} ({split}) are the same file, so a model would be "
                        "measured on what it has learnt from; take one of them off its image list."
                    )
