"""Gather the volumes of each split into one self-contained file, the dataset of the split."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ssp_model.collection.samples import read_samples
from ssp_model.collection.tabulate import places
from ssp_model.data.dataset import Sample, shared_groups, write_dataset
from ssp_model.data.splits import SPLITS, keep_apart
from ssp_model.data.volumes import VolumesByImage
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
        The content of an image is in two splits, an image is not among the volumes, or a split has no image left.
    """
    rows = keep_apart({task: {split: read_samples(of[split], task) for split in SPLITS} for task, of in splits.items()})
    groups = {split: [group for task in sorted(rows) for group in groups_of(rows[task][split])] for split in SPLITS}
    warn_of_shared_groups(groups)
    with VolumesByImage(volumes) as source:
        source.check_voxel_sizes()
        wanted = {
            split: [(task, image) for task in sorted(rows) for image in places(rows[task][split])] for split in datasets
        }
        source.check_sources(wanted)
        for split, path in datasets.items():
            write_dataset(path, _samples(source, wanted[split], groups[split], split), split, config)


def groups_of(samples: pd.DataFrame) -> list[str]:
    """Return the group of each sample; empty if there are no groups."""
    return list(samples.group) if "group" in samples else [""] * len(samples)


def warn_of_shared_groups(groups: Mapping[str, Sequence[str]]) -> None:
    """Warn if training and test share groups, as a table may that gives its own splits."""
    shared = shared_groups(groups["train"], groups["test"])
    if shared:
        logger.warning(
            "training and test share the groups %s: the scores then say how well the model predicts in groups that it "
            "knows, not in new ones; to keep groups apart, change the column split, or leave it out",
            ", ".join(shared),
        )


def _samples(
    source: VolumesByImage, wanted: Sequence[tuple[str, str]], groups: Sequence[str], split: str
) -> Iterator[Sample]:
    """Read the samples of a split one by one."""
    with progress(f"integrate {split}", len(wanted), "samples") as advance:
        for (task, image), group in zip(wanted, groups, strict=True):
            yield replace(source.sample(image, task), group=group)
            advance(1)
