"""Training, validation and test images: those of the Allen collection as published, and those of an own table.

- Image lists (`split_images`, `split_dna`): as published (RepMode, section 4.1). The shuffles are those of the
  published split, step by step: the same lists and seed give the same files.
- A table of samples (`split_samples`): the table's own splits, or one draw for all structures. All samples of an image
  go together, and all of a group (plate, well, donor).
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ssp_model.collection.lists import read_list
from ssp_model.collection.samples import ALIASES, PLACE, read_samples
from ssp_model.config.schema import DnaConfig, SplitConfig
from ssp_model.data.draw import draw
from ssp_model.errors import InputError
from ssp_model.files import write_table
from ssp_model.log import counted

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
    unusable: Collection[str] = (),
) -> dict[str, pd.DataFrame]:
    """Draw the DNA images of each split from that split's images of all structures.

    Parameters
    ----------
    structure_splits : mapping
        For each structure its `train`, `val` and `test` rows.
    candidates : DataFrame
        The DNA image list.
    unusable : collection of str
        Images of the list whose DNA channel can't be used.

    Returns
    -------
    dict
        `train`, `val` and `test`: rows of `candidates` in the order drawn.

    Raises
    ------
    InputError
        A quota is larger than the number of candidates in that split.
    """
    row_of = {path: row for row, path in enumerate(candidates.path_czi) if path not in unusable}
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
            spoilt = len(pool[pool.path_czi.isin(unusable)])
            why = f" and can be used: of {spoilt} in the list the channel can't, see left_out.csv" if spoilt else ""
            raise InputError(
                f"dna.quota.{split} is {quota}, but only {len(found)} of the {len(pool)} {split} images "
                f"are in the image list of {config.name}{why}; "
                f"{'correct the channel in the list, ' if spoilt else ''}lower the quota or add images."
            )
        drawn[split] = candidates.iloc[found[:quota]]
    return drawn


def keep_apart(splits: Mapping[str, Mapping[str, pd.DataFrame]]) -> dict[str, dict[str, pd.DataFrame]]:
    """Make sure that no image is in two splits, whatever it is used for.

    Each image list is split alone. So an image of two lists may be drawn to test one structure and to train another. It
    is then left out of training, and one of validation and training too.

    Parameters
    ----------
    splits : mapping
        For each task, DNA included, its `train`, `val` and `test` rows.

    Raises
    ------
    InputError
        A split of a task has no image left.
    """
    kept: dict[str, dict[str, pd.DataFrame]] = {task: {} for task in splits}
    held_out: set[str] = set()
    for split in reversed(SPLITS):
        for task, of_task in splits.items():
            rows = of_task[split]
            left_out = rows.image.isin(held_out)
            kept[task][split] = rows[~left_out]
            if left_out.any() and left_out.all():
                raise InputError(
                    f"All {split} images of {task} are held out for other structures, whose lists name them too; take "
                    "them off one of the lists, or list your images in an own table (collection.samples), which splits "
                    "them as one."
                )
            if left_out.any():
                logger.warning(
                    "%s: %s left out of %s, held out for other structures: %s",
                    task,
                    counted(int(left_out.sum()), "image"),
                    split,
                    ", ".join(rows.image[left_out]),
                )
        held_out |= {image for of_task in kept.values() for image in of_task[split].image}
    return kept


def split_samples(samples: pd.DataFrame, config: SplitConfig) -> dict[str, pd.DataFrame]:
    """Split a table of samples.

    Splits that the table gives are kept. Else they are drawn: each structure's samples are shared out as near to the
    fractions as whole images or groups allow (`data/draw.py`). Neither the order of the rows nor any further column
    changes the splits.

    Parameters
    ----------
    samples : DataFrame
        As `read_samples` returns it.

    Returns
    -------
    dict
        `train`, `val` and `test`: rows of the table, sorted by image, scene, time and structure.

    Raises
    ------
    InputError
        A structure has no image for one of the splits, or the table puts one image or one group into two splits.
    """
    samples = _sorted(samples)
    if "split" in samples:
        _check_given(samples)
        split = samples.split
    else:
        split = _drawn(samples, config)
    return {name: samples[split == name].reset_index(drop=True) for name in SPLITS}


def _sorted(samples: pd.DataFrame) -> pd.DataFrame:
    cells = [samples[column] for column in (*PLACE, "structure")]
    keys = [tuple(map(_rank, row)) for row in zip(*cells, strict=True)]
    return samples.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)


def _rank(value: int | str | None) -> tuple[int, int, str]:
    """Return a key that sorts nothing before numbers, and numbers before names."""
    if value is None:
        return (0, 0, "")
    return (2, 0, value) if isinstance(value, str) else (1, value, "")


def _check_given(samples: pd.DataFrame) -> None:
    """Refuse splits of a table that share an image or a group, or that leave a structure out."""
    for column in ("group", "image"):
        if column not in samples:
            continue
        for name, found in samples.groupby(column).split.unique().items():
            if len(found) > 1:
                raise InputError(
                    f"The table of samples puts the {column} {name} into {' and '.join(found)}; a model would be "
                    f"measured on what it has learnt from. Give all its rows one split."
                )
    for structure, found in samples.groupby("structure").split.unique().items():
        lacking = [split for split in SPLITS if split not in found]
        if lacking:
            raise InputError(
                f"The table of samples has no {' and no '.join(lacking)} image of {structure}; give the split "
                f"{' or '.join(lacking)} to some of its rows, or remove the column split to have all splits drawn."
            )


def _drawn(samples: pd.DataFrame, config: SplitConfig) -> pd.Series:
    """Draw the split of each sample."""
    unit = _units(samples)
    structure, structures = pd.factorize(samples.structure)
    counts = np.zeros((unit.max() + 1, len(structures)), int)
    np.add.at(counts, (unit, structure), 1)
    kind = "group" if "group" in samples else "image"
    for name, num_units in zip(structures, (counts > 0).sum(axis=0), strict=True):
        if num_units < len(SPLITS):
            found = f"{num_units} {kind}{'s' if num_units > 1 else ''}"
            raise InputError(
                f"{name} has only {found}{' that share no image' if num_units > 1 and kind == 'group' else ''}, but "
                f"needs one each for {', '.join(SPLITS)} at least; add more of its images or remove its rows."
            )
    fractions = config.train_fraction, config.fit_fraction
    shares = (fractions[0] * fractions[1], fractions[0] * (1 - fractions[1]), 1 - fractions[0])
    parts = draw(counts, shares, config.seed)
    if parts is None:
        raise InputError(
            f"No draw gives each of {', '.join(sorted(structures))} an image in each split, because they share their "
            f"{kind}s; add images, or say in a column split which rows are for {', '.join(SPLITS)}."
        )
    return pd.Series(np.array(SPLITS)[parts[unit]], index=samples.index)


def _units(samples: pd.DataFrame) -> np.ndarray:
    """Return the number of the unit of each row: rows of one image or of one group are of one unit."""
    # pages that need the names of splits are spared the import
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    image, images = pd.factorize(samples.image)
    if "group" not in samples:
        return image
    group, groups = pd.factorize(samples.group)
    num_nodes = len(images) + len(groups)
    links = coo_array((np.ones(len(samples)), (image, group + len(images))), shape=(num_nodes, num_nodes))
    _, component = connected_components(links, directed=False)
    return pd.factorize(component[image])[0]


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
    structure_splits = {name: split_images(read_list(path), split_config) for name, path in images.items()}
    for split, drawn in split_dna(structure_splits, rows, config, split_config.seed, unusable).items():
        write_table(drawn, outputs[split])
        logger.info("%s %s: %d images", config.name, split, len(drawn))


def write_sample_splits(
    samples: str | Path,
    left_out: Iterable[str | Path],
    outputs: Mapping[str, Mapping[str, str | Path]],
    *,
    structures: Sequence[str],
    config: SplitConfig,
) -> None:
    """Split a table of samples and write three lists for each structure; samples left out go after the split.

    The whole table is split, so that the splits are the same whichever structures are used.

    Parameters
    ----------
    samples : path
        Table of samples.
    left_out : iterable of path
        CSV files with the columns `task`, `image` (or `path_czi`), and where needed `scene` and `time`: samples that
        can't be used.
    outputs : mapping
        For each structure the CSV files to write for `train`, `val` and `test`.
    structures : sequence of str
        Structures to write.

    Raises
    ------
    InputError
        The table is wrong, can't be split, or lacks a structure, or no sample of a split can be used.
    """
    table = read_samples(samples)
    lacking = [structure for structure in structures if structure not in set(table.structure)]
    if lacking:
        found = ", ".join(sorted(table.structure.unique()))
        raise InputError(f"{samples} has no row of {' or '.join(lacking)} (its structures: {found}); add rows.")
    unusable = pd.concat([pd.DataFrame(columns=["task", "image"]), *map(_read_left_out, left_out)])
    splits = split_samples(table, config)
    for structure in structures:
        for split in SPLITS:
            rows = splits[split][splits[split].structure == structure]
            usable = rows[~_is_left_out(rows, unusable[unusable.task == structure])]
            if usable.empty:
                raise InputError(
                    f"None of the {len(rows)} {split} samples of {structure} can be used; see its left_out.csv."
                )
            write_table(usable, outputs[structure][split])
            logger.info("%s %s: %d samples", structure, split, len(usable))


def _read_left_out(path: str | Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False).rename(columns=ALIASES)


def _is_left_out(rows: pd.DataFrame, left_out: pd.DataFrame) -> np.ndarray:
    """Whether each row is left out: its image, its scene and time too where `left_out` has these columns."""
    place = [column for column in PLACE if column in left_out]
    names = {tuple(row) for row in left_out[place].fillna("").to_numpy()}
    as_text = ["" if cell is None else str(cell) for cell in rows[place].to_numpy().flat]
    return np.array([tuple(row) in names for row in np.reshape(as_text, (-1, len(place)))])


def _unusable(left_out: Iterable[str | Path], task: str) -> set[str]:
    """Images that a task can't use, from the lists of images left out."""
    tables = [pd.read_csv(path) for path in left_out]
    return {image for table in tables for image in table.image[table.task == task]}


def by_split(tasks: Sequence[str], paths: Sequence[str | Path]) -> dict[str, dict[str, str | Path]]:
    """Paths in the order of tasks, three a task, as a mapping from task and split."""
    return {task: dict(zip(SPLITS, paths[3 * i : 3 * i + 3], strict=True)) for i, task in enumerate(tasks)}
