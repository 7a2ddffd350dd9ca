"""Preflight: find all that is wrong with a table of samples before anything long starts.

Every image is opened, every scene, time point and channel looked up, and every problem kept: none stops the others from
being found. Intensities are read only if asked for. From the sizes follows what the whole job needs.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from ssp_model.collection.check_image import ERROR, WARNING, ChannelUse, CheckedImage, Factors, Problem, check_image
from ssp_model.collection.compare_images import mixed_channels, mixed_voxel_sizes, same_content
from ssp_model.errors import InputError
from ssp_model.files import write_table
from ssp_model.images.inspect import size_text
from ssp_model.log import counted, progress
from ssp_model.processes import process_pool

WORTH_PROCESSES = 200
"""Images from which on their metadata alone are worth the start of further processes."""

MEMORY_OF_A_PROCESS = 400 * 2**20
"""Bytes that Python and its libraries take in a process that converts."""


@dataclass(frozen=True)
class Plan:
    """What the samples are to be used for.

    Attributes
    ----------
    factors : callable
        `Resizing.factors`, or the like. It is sent to other processes.
    split : callable
        Returns the rows of the table in each split, or raises `InputError`: `split_samples` with its config.
    structures : sequence of str
        Structures to train on.
    results : path
        Folder that volumes and datasets will be written to.
    skips_bad_images : bool
        Whether images that can't be used are left out, so that they are no error.
    """

    factors: Factors
    split: Callable[[pd.DataFrame], Mapping[str, pd.DataFrame]]
    structures: Sequence[str]
    results: Path
    skips_bad_images: bool = False


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Attributes
    ----------
    problems : DataFrame
        `severity` (error or warning), `image`, `structure`, `problem` (a sentence); errors first.
    counts : DataFrame
        `structure`, and the number of samples in each split; empty if they can't be split.
    space : DataFrame
        `what`, `needed_bytes`, `free_bytes` (missing where it does not apply).
    """

    problems: pd.DataFrame
    counts: pd.DataFrame
    space: pd.DataFrame

    @property
    def num_errors(self) -> int:
        """Number of errors."""
        return int((self.problems.severity == ERROR).sum())

    def write(self, folder: str | Path) -> None:
        """Write `problems.csv`, `counts.csv` and `space.csv` to a folder."""
        for name in ("problems", "counts", "space"):
            write_table(getattr(self, name), Path(folder) / f"{name}.csv")


def grouped(problems: pd.DataFrame) -> pd.DataFrame:
    """Return the problems to show: of images that have the same one only the first, with the number of the others."""
    same = [text.replace(image, "", 1) if image else text for image, text in problems[["image", "problem"]].to_numpy()]
    groups = problems.assign(same=same).groupby(["severity", "structure", "same"], sort=False)
    firsts = problems.loc[groups.head(1).index]
    num_more = groups.image.transform("nunique")[firsts.index] - 1
    more = [f" The same holds for {counted(number, 'more image')}." if number > 0 else "" for number in num_more]
    return firsts.assign(problem=firsts.problem + more)


def preflight(samples: pd.DataFrame, plan: Plan, *, num_workers: int = 1, pixels: bool = False) -> Preflight:
    """Check a table of samples.

    Parameters
    ----------
    samples : DataFrame
        As `read_samples` returns it. A column `path` says where an image lies, if elsewhere, such as a download.
    plan : Plan
    num_workers : int, optional
        Processes that read images, now and in the conversion.
    pixels : bool, optional
        Also read the intensities of the channels that are used.
    """
    used = samples[samples.structure.isin(plan.structures)]
    images = _check_images(used, plan.factors, num_workers, pixels=pixels)
    uses = [use for image in images for use in image.uses]
    problems = _missing_structures(samples, plan.structures)
    problems += [row for image in images for row in image.rows]
    if plan.skips_bad_images:
        problems = [_left_out(problem) if problem.image else problem for problem in problems]
    problems += same_content(images)
    problems += mixed_voxel_sizes(uses) + mixed_channels(uses)
    unusable = {(image.image, *sample) for image in images for sample in image.unusable}
    counts, split_problems = _split(samples, used, plan, unusable if plan.skips_bad_images else set())
    space, space_problems = _space(uses, plan.results, num_workers)
    table = pd.DataFrame(problems + split_problems + space_problems, columns=list(Problem._fields))
    return Preflight(table.sort_values("severity", kind="stable", ignore_index=True), counts, space)


def _missing_structures(samples: pd.DataFrame, structures: Sequence[str]) -> list[Problem]:
    found = sorted(samples.structure.unique())
    problems = [
        Problem(
            ERROR,
            "",
            structure,
            f"The table has no sample of {structure} (its structures: {', '.join(found)}); add rows, or take it off "
            "the structures of the config.",
        )
        for structure in structures
        if structure not in found
    ]
    unused = [structure for structure in found if structure not in structures]
    if unused:
        text = ", ".join(unused)
        problems.append(
            Problem(WARNING, "", text, f"{text} is in the table but not in the structures of the config: not used.")
        )
    return problems


def _left_out(problem: Problem) -> Problem:
    if problem.severity != ERROR:
        return problem
    return problem._replace(severity=WARNING, problem=f"{problem.problem} It is left out.")


def _check_images(samples: pd.DataFrame, factors: Factors, num_workers: int, *, pixels: bool) -> list[CheckedImage]:
    jobs = [(str(image), rows.to_dict("records")) for image, rows in samples.groupby("image", sort=False)]
    if not pixels and len(jobs) < WORTH_PROCESSES:
        num_workers = 1
    checked = []
    with progress("preflight", len(jobs), "images") as advance:
        for image in _map_jobs(partial(check_image, factors=factors, pixels=pixels), jobs, min(num_workers, len(jobs))):
            checked.append(image)
            advance(1)
    return checked


def _map_jobs(
    check: Callable[[str, list[dict[str, Any]]], CheckedImage],
    jobs: list[tuple[str, list[dict[str, Any]]]],
    num_workers: int,
) -> Iterator[CheckedImage]:
    if num_workers <= 1:
        yield from (check(*job) for job in jobs)
        return
    done = 0
    with process_pool(num_workers) as pool, suppress(BrokenProcessPool):
        for checked in pool.map(check, *zip(*jobs, strict=True)):
            yield checked
            done += 1
    # a process was killed: the image that did it is among the next ones
    suspects, rest = jobs[done : done + 2 * num_workers], jobs[done + 2 * num_workers :]
    for image, rows in suspects:
        try:
            with process_pool(1) as pool:
                yield pool.submit(check, image, rows).result()
        except BrokenProcessPool:
            yield _killed(image, rows)
    if rest:
        yield from _map_jobs(check, rest, num_workers)


def _killed(image: str, rows: Sequence[Mapping[str, Any]]) -> CheckedImage:
    """Return what is found of an image whose reading kills its process."""
    structures = {row["structure"] for row in rows}
    found = CheckedImage(image, Path(image), structures)
    text = "the process was killed, for lack of memory or by a corrupt file; give it more memory or leave the image out"
    return found.refuse(rows, f"{image} could not be read: {text}.")


def _split(
    samples: pd.DataFrame, used: pd.DataFrame, plan: Plan, unusable: set[tuple[Any, ...]]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the number of samples of each structure in each split, and why there are too few."""
    try:
        # the whole table is split, so that the splits do not depend on the structures that are used
        splits = plan.split(samples)
    except InputError as error:
        # that is the first problem; each structure alone may tell more
        alone = [(structure, _why_not(plan, rows)) for structure, rows in used.groupby("structure")]
        problems = [Problem(ERROR, "", str(structure), text) for structure, text in alone if text]
        return pd.DataFrame(columns=["structure"]), problems or [Problem(ERROR, "", "", str(error))]
    counts = pd.DataFrame(
        [
            {"structure": name, **{split: int((rows.structure == name).sum()) for split, rows in splits.items()}}
            for name in sorted(used.structure.unique())
        ],
        columns=["structure", *splits],
    )
    problems = [
        Problem(
            ERROR, "", structure, f"None of the {len(some)} {split} samples of {structure} can be used; add images."
        )
        for split, rows in splits.items()
        for structure, some in rows[rows.structure.isin(plan.structures)].groupby("structure")
        if all(sample in unusable for sample in zip(some.image, some.scene, some.time, some.structure, strict=True))
    ]
    return counts, problems


def _why_not(plan: Plan, rows: pd.DataFrame) -> str:
    """Return why the samples of a structure can't be split; nothing if they can."""
    try:
        plan.split(rows)
    except InputError as error:
        return str(error)
    return ""


def _space(uses: Sequence[ChannelUse], results: Path, num_workers: int) -> tuple[pd.DataFrame, list[Problem]]:
    """Return what the whole job needs of disk and memory, and what of it is lacking."""
    volumes = sum({(use.structure, use.place, use.role, use.channel): use.num_bytes for use in uses}.values())
    # a signal that several structures share is once in a dataset
    datasets = sum({(use.place, use.channel): use.num_bytes for use in uses}.values())
    present = sum(
        path.stat().st_size for folder in ("volumes", "datasets") for path in (results / folder).rglob("*.h5")
    )
    disk = max(volumes + datasets - present, 0)
    by_place: dict[object, int] = defaultdict(int)
    for use in uses:
        # the volumes of an image are held until it is written
        by_place[use.place] = max(by_place[use.place], use.memory) + use.num_bytes
    memory = max(by_place.values(), default=0) + MEMORY_OF_A_PROCESS
    free_disk, free_memory = _free_disk(results), psutil.virtual_memory().available
    at_once = min(num_workers, max(len(by_place), 1))
    rows = [
        ("volumes", volumes, None),
        ("datasets", datasets, None),
        ("disk in all, less what is there already", disk, free_disk),
        ("memory to convert an image", memory, free_memory),
        (f"memory to convert {at_once} images at once", at_once * memory, free_memory),
    ]
    problems = []
    if disk > free_disk:
        text = (
            f"{results} needs {size_text(disk)} of disk for volumes and datasets, but {size_text(free_disk)} are free"
        )
        problems.append(Problem(ERROR, "", "", f"{text}; make room, or run it on a larger disk."))
    if memory > free_memory:
        text = (
            f"To convert the largest image takes {size_text(memory)} of memory, but {size_text(free_memory)} are free"
        )
        problems.append(Problem(ERROR, "", "", f"{text}; free memory, or check the pixel sizes of the images."))
    elif at_once * memory > free_memory:
        text = f"To convert {at_once} images at once takes {size_text(at_once * memory)} of memory"
        problems.append(
            Problem(WARNING, "", "", f"{text}, but {size_text(free_memory)} are free; convert with fewer threads.")
        )
    table = pd.DataFrame(rows, columns=["what", "needed_bytes", "free_bytes"])
    return table.astype({"free_bytes": "Int64"}), problems


def _free_disk(folder: Path) -> int:
    """Return the free bytes of the disk that a folder lies on, or will."""
    place = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    return shutil.disk_usage(place).free
