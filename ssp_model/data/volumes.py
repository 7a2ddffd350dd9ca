"""The file of volumes, `results/volumes/{structure}.h5`: each image of a structure once, at training resolution.

```
/{number}             an image, named by its place in the table of samples (0000, 0001, ...)
/{number}/signal       transmitted light, (Z, Y, X), float32, standardised
/{number}/{task}       fluorescence, likewise; one a task: the structure's name, the DNA's name
attributes          structure, axes, content, preprocess, version; of an image its name, sizes and source;
                    of a volume its channel, channel_name, mean and std
```
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import h5py
import numpy as np

import ssp_model
from ssp_model.collection.tabulate import place_text
from ssp_model.data.dataset import Sample, Volume, in_um
from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.images.description import SAME_VOXEL_SIZE

logger = logging.getLogger(__name__)

SIGNAL = "signal"


@dataclass(frozen=True)
class ImageJob:
    """What to convert of one image.

    Attributes
    ----------
    number : int
        Its place among the images of the file of volumes.
    image : str
        As the table of samples names it.
    scene, time : int or str, optional
    voxel_size_um : tuple of float or None, optional
        Z, Y, X, in place of the pixel sizes that the image gives; None for an axis whose size the image gives.
    channels : dict
        The channel of each role: `signal`, and the tasks that it has a target for.
    """

    number: int
    image: str
    scene: int | str | None = None
    time: int | str | None = None
    voxel_size_um: tuple[float | None, ...] | None = None
    channels: dict[str, int | str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """What to call the image, with scene and time."""
        return place_text(self.image, self.scene, self.time)


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
    group = file.create_group(f"{image.job.number:04d}")
    group.attrs.update(
        image=image.job.place,
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


class VolumesByImage:
    """The volumes of all structures, found by the image's name; one file is open at a time, however many there are.

    Parameters
    ----------
    volumes : mapping
        For each structure, its HDF5 file of volumes.
    """

    def __init__(self, volumes: Mapping[str, str | Path]) -> None:
        self._volumes = volumes
        self._open: tuple[str, h5py.File] | None = None
        # an image may be in the volumes of two structures, each with its own target
        self._images: dict[str, list[StoredVolumes]] = defaultdict(list)
        for structure in volumes:
            for name, group in self._file(structure).items():
                size, checksum = group.attrs["voxel_size_um"], str(group.attrs["source_sha256"])
                self._images[str(group.attrs["image"])].append(StoredVolumes(structure, name, size, checksum))

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

    def sample(self, image: str, task: str) -> Sample:
        """Return an image's signal and its target of a task; voxels are read when asked for, before the next sample.

        Raises
        ------
        InputError
            There is no such volume.
        """
        group = self._group(image, task)
        return Sample(
            task=task,
            image=image,
            source_sha256=group.attrs["source_sha256"],
            source_bytes=group.attrs["source_bytes"],
            pixel_size_um=group.attrs["pixel_size_um"],
            voxel_size_um=group.attrs["voxel_size_um"],
            signal=_read_volume(group[SIGNAL]),
            target=_read_volume(group[task]),
        )

    def _group(self, image: str, role: str) -> h5py.Group:
        for stored in self._images.get(image, ()):
            group = self._file(stored.structure)[stored.group]
            if role in group:
                return group
        found = dict.fromkeys(stored.structure for stored in self._images.get(image, ())) or self._volumes
        where = ", ".join(str(self._volumes[structure]) for structure in found)
        raise InputError(
            f"{image} has no {role} volume in {where}; convert again (snakemake --forcerun convert_images)."
        )

    def check_voxel_sizes(self) -> None:
        """Warn of mixed voxel sizes, naming two images that differ: a network learns at one voxel size.

        With factors given explicitly, as published, that is the user's choice.
        """
        known = [
            (stored.voxel_size_um, image)
            for image, all_stored in self._images.items()
            for stored in all_stored
            if np.isfinite(stored.voxel_size_um).all()
        ]
        if not known:
            return
        first, first_image = known[0]
        for size, image in known[1:]:
            if np.abs(size / first - 1).max() > SAME_VOXEL_SIZE:
                logger.warning(
                    "voxel sizes differ after resizing: %s in %s, %s in %s (Z, Y, X); preprocess.voxel_size_um instead "
                    "of preprocess.scale would bring all to one",
                    in_um(first), first_image, in_um(size), image,
                )  # fmt: skip
                return

    def check_sources(self, samples: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Refuse a file that is in two splits under different names, by the checksum of its content.

        Parameters
        ----------
        samples : mapping
            For each split, task and `image` of its samples.

        Raises
        ------
        InputError
            A file is in two splits, or a volume is missing.
        """
        place: dict[str, tuple[str, str]] = {}
        for split, images in samples.items():
            for task, image in images:
                digest = self._group(image, task).attrs["source_sha256"]
                first_split, first_image = place.setdefault(digest, (split, image))
                if first_split != split:
                    raise InputError(
                        f"{first_image} ({first_split}) and {image} ({split}) are the same file, so a model would be "
                        "measured on what it has learnt from; take one of them off its list of images."
                    )
