"""Samples that are converted together: those of an archive, or of images with one first structure in an own table."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ssp_model.collection.samples import COLUMNS, OPTIONAL, PLACE, VOXEL_SIZE_UM, read_samples
from ssp_model.errors import InputError
from ssp_model.files import write_table

CONVERTED = ("image", "scene", "time", "structure", "signal", "target", *VOXEL_SIZE_UM)
"""Columns that change volumes; `split` and `group` do not."""


def place_text(image: str, scene: object = None, time: object = None) -> str:
    """Return what to call an image of a table of samples: its file, and scene and time point where they are given."""
    parts = [f"{name} {value}" for name, value in (("scene", scene), ("time", time)) if value is not None]
    return " ".join([image, *parts])


def places(samples: pd.DataFrame) -> list[str]:
    """Return for each sample what to call its image."""
    return [place_text(*row) for row in samples[list(PLACE)].itertuples(index=False)]


def structures_of(samples: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    """Return the structures to use of an own table, in alphabetical order: those wanted, or all.

    Raises
    ------
    InputError
        The table has no sample of a wanted structure.
    """
    known = sorted(samples.structure.unique())
    lacking = [structure for structure in wanted or () if structure not in known]
    if lacking:
        raise InputError(
            f"structures lists {', '.join(lacking)}, but the table of samples has {', '.join(known)} only; correct one "
            "of them, or set structures to null to use all."
        )
    return sorted(wanted or known)


def first_structures(samples: pd.DataFrame, structures: Sequence[str]) -> dict[str, str]:
    """Return for each image the structure of its first sample; its volumes are in the file of this structure."""
    used = samples[samples.structure.isin(structures)]
    return used.drop_duplicates("image").set_index("image").structure.to_dict()


def write_samples_of_images(
    table: str | Path, output: str | Path, *, structure: str, structures: Sequence[str]
) -> None:
    """Write the samples of an own table whose images have a given first structure."""
    write_table(samples_of_images(read_samples(table), structure, structures), output)


def samples_of_images(samples: pd.DataFrame, structure: str, structures: Sequence[str]) -> pd.DataFrame:
    """Return the samples of an own table whose images have a given first structure, with what their volumes need."""
    used = samples[samples.structure.isin(structures)]
    rows = used[used.image.map(first_structures(samples, structures)) == structure]
    return rows[[column for column in CONVERTED if column in rows]]


def checksum(samples: pd.DataFrame) -> str:
    """Return a checksum (SHA-256) of samples, which changes when a pattern of their table matches other images."""
    known = samples[[column for column in (*COLUMNS, *OPTIONAL) if column in samples]]
    return hashlib.sha256(known.to_csv(index=False).encode()).hexdigest()


def write_samples_of_archive(lists: Mapping[str, str | Path], output: str | Path) -> None:
    """Write the samples of an archive.

    Parameters
    ----------
    lists : mapping
        The image list of the archive's own structure, then of another structure, whose target some of the archive's
        images have too (DNA). Its other images are in other archives.

    Raises
    ------
    InputError
        A list is wrong, or the two give an image different signals.
    """
    (structure, own), *others = lists.items()
    samples = read_samples(own, structure)
    for other, path in others:
        more = read_samples(path, other)
        more = more[more.image.isin(samples.image)]
        signals = samples.set_index("image").signal
        for image, signal in zip(more.image, more.signal, strict=True):
            if signal != signals[image]:
                raise InputError(
                    f"The image lists disagree on the signal channel of {image}: {signals[image]} for {structure}, "
                    f"{signal} for {other}; correct one of them."
                )
        samples = pd.concat([samples, more])
    write_table(samples[[column for column in CONVERTED if column in samples]], output)
