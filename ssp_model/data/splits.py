"""Training, validation and test images of each structure, as published (RepMode, section 4.1).

The shuffles are those of the published split, step by step: the same lists and seed give the same files.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ssp_model.collection.lists import read_list
from ssp_model.config.schema import DnaConfig, SplitConfig
from ssp_model.errors import InputError
from ssp_model.files import write_table

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")


def split_images(images: pd.DataFrame, config: SplitConfig) -> dict[str, pd.DataFrame]:
    """Split one structure's image list.

    Parameters
    ----------
    images : DataFrame
        An image list, one row an image.

    Returns
    -------
    dict
        `train`, `val` and `test`: rows of the list in shuffled order. None is empty.

    Raises
    ------
    InputError
        The list is too short to give each split an image.
    """
    train, test = _shuffle_and_cut(images, config.train_fraction, config.seed)
    train, val = _shuffle_and_cut(train, config.fit_fraction, config.seed)
    splits = {"train": train, "val": val, "test": test}
    empty = [name for name, rows in splits.items() if rows.empty]
    if empty:
        raise InputError(
            f"A list of {len(images)} images leaves no {' and no '.join(empty)} image "
            f"(split.train_fraction {config.train_fraction}, split.fit_fraction {config.fit_fraction}); "
            "add images or change the fractions."
        )
    return splits


def _shuffle_and_cut(images: pd.DataFrame, fraction: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    shuffled = images.sample(frac=1.0, random_state=np.random.RandomState(seed))
    first = round(fraction * len(shuffled))
    return shuffled.iloc[:first], shuffled.iloc[first:]


def split_dna(
    structure_splits: Mapping[str, Mapping[str, pd.DataFrame]],
    candidates: pd.DataFrame,
    config: DnaConfig,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Draw the DNA images of each split from that split's images of all structures.

    Parameters
    ----------
    structure_splits : mapping
        For each structure its `train`, `val` and `test` rows.
    candidates : DataFrame
        The DNA image list: rows of the images whose DNA channel can be used.

    Returns
    -------
    dict
        `train`, `val` and `test`: rows of `candidates` in the order drawn.

    Raises
    ------
    InputError
        A quota is larger than the number of candidates in that split.
    """
    row_of = {path: row for row, path in enumerate(candidates.path_czi)}
    drawn = {}
    for split in SPLITS:
        pool = pd.concat([structure_splits[name][split] for name in sorted(structure_splits)])
        rng = np.random.RandomState(seed)
        pool = pool.sample(frac=1.0, random_state=rng)
        positions = np.arange(len(pool))
        rng.shuffle(positions)
        found = [row_of[path] for path in pool.path_czi.iloc[positions] if path in row_of]
        quota = getattr(config.quota, split)
        if len(found) < quota:
            raise InputError(
                f"dna.quota.{split} is {quota}, but only {len(found)} of the {len(pool)} {split} images "
                f"are in the image list of {config.name}; lower the quota or add images."
            )
        drawn[split] = candidates.iloc[found[:quota]]
    return drawn


def check_disjoint(splits: Mapping[str, Mapping[str, pd.DataFrame]]) -> None:
    """Make sure that no image is in two splits, whatever it is used for.

    Parameters
    ----------
    splits : mapping
        For each task, DNA included, its `train`, `val` and `test` rows.

    Raises
    ------
    InputError
        Naming an image that is in two splits.
    """
    place: dict[str, tuple[str, str]] = {}
    for task, task_splits in splits.items():
        for split, rows in task_splits.items():
            for path in rows.path_czi:
                first_task, first_split = place.setdefault(path, (task, split))
                if first_split != split:
                    raise InputError(
                        f"{path} is a {first_split} image of {first_task} and a {split} image of {task}; "
                        "a model would be measured on what it has learnt from. Split again (snakemake "
                        "--forcerun split_structure split_dna)."
                    )


def write_structure_splits(
    images: str | Path,
    left_out: Iterable[str | Path],
    outputs: Mapping[str, str | Path],
    structure: str,
    config: SplitConfig,
) -> None:
    """Split an image list and write the three; images left out for the structure go after the split.

    An unusable image thus leaves all others where they were.
    """
    unusable = _unusable(left_out, structure)
    for split, rows in split_images(read_list(images), config).items():
        usable = rows[~rows.path_czi.isin(unusable)]
        if usable.empty:
            raise InputError(
                f"None of the {len(rows)} {split} images of {structure} can be used; see its left_out.csv."
            )
        write_table(usable, outputs[split])
        logger.info("%s %s: %d images", structure, split, len(usable))


def write_dna_splits(
    images: Mapping[str, str | Path],
    candidates: str | Path,
    left_out: Iterable[str | Path],
    outputs: Mapping[str, str | Path],
    *,
    config: DnaConfig,
    split_config: SplitConfig,
) -> None:
    """Draw the DNA images from the structures' image lists, split whole, and write the three lists.

    An image whose DNA can't be used makes room for the next; one of whose structure's target can't may still be drawn.
    """
    unusable = _unusable(left_out, config.name)
    rows = read_list(candidates)
    rows = rows[~rows.path_czi.isin(unusable)]
    structure_splits = {name: split_images(read_list(path), split_config) for name, path in images.items()}
    for split, drawn in split_dna(structure_splits, rows, config, split_config.seed).items():
        write_table(drawn, outputs[split])
        logger.info("%s %s: %d images", config.name, split, len(drawn))


def _unusable(left_out: Iterable[str | Path], task: str) -> set[str]:
    """Images that a task can't use, from the lists of images left out."""
    tables = [pd.read_csv(path) for path in left_out]
    return {path for table in tables for path in table.path_czi[table.task == task]}


def by_split(tasks: Sequence[str], paths: Sequence[str | Path]) -> dict[str, dict[str, str | Path]]:
    """Paths in the order of tasks, three a task, as a mapping from task and split."""
    return {task: dict(zip(SPLITS, paths[3 * i : 3 * i + 3], strict=True)) for i, task in enumerate(tasks)}
