"""Convert raw images to volumes at training resolution.

The files come one by one, out of an archive or from where they lie. Each image is converted by a worker, and a file
that was unpacked or fetched is deleted again. So only a few raw images are on the disk at the same time, and a few
decoded ones in memory. Only the channels needed are decoded: the signal once, and the target of each structure.
"""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from ssp_model.collection.archive import RawFile, unpack
from ssp_model.collection.lists import member_name
from ssp_model.collection.own_files import gather
from ssp_model.collection.samples import COLUMNS, VOXEL_SIZE_UM, read_rows
from ssp_model.data.dataset import Volume
from ssp_model.data.left_out import LEFT_OUT_COLUMNS, problem_text
from ssp_model.data.preprocess import Resizing, to_model_voxels
from ssp_model.data.volumes import SIGNAL, ConvertedImage, ImageJob, new_volumes
from ssp_model.errors import InputError
from ssp_model.files import sha256_of, size_of, write_table
from ssp_model.images.description import channel_title
from ssp_model.images.reader import Image, open_file
from ssp_model.log import counted, progress
from ssp_model.processes import process_pool
from ssp_model.scratch import scratch_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawImages:
    """Where the raw images of a table of samples are.

    Attributes
    ----------
    archive : path, optional
        Archive or folder of the images; without one, the table has their own paths and addresses.
    sha256 : str, optional
        Checksum (hexadecimal) that the archive must have.
    stored : mapping
        Files of addresses that were fetched before.
    """

    archive: str | Path | None = None
    sha256: str | None = None
    stored: Mapping[str, str | Path] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse an archive with another checksum."""
        if not self.archive or not self.sha256:
            return
        if Path(self.archive).is_dir():
            raise InputError(f"{self.archive} is a folder, which has no SHA-256; take it out of collection.sha256.")
        if (found := sha256_of(self.archive)) != self.sha256:
            raise InputError(
                f"{self.archive}: has SHA-256 {found}, wanted {self.sha256}; check that this is the file you want and "
                "that collection.sha256 is right."
            )

    def name(self, image: str) -> str:
        """Return the name of an image of the table, by which its file is asked for."""
        return member_name(image) if self.archive else image

    def files(self, names: Collection[str], scratch: Path) -> Iterator[RawFile]:
        """Yield the file of each name."""
        if self.archive:
            yield from unpack(Path(self.archive), scratch, names)
        else:
            yield from gather(names, scratch, self.stored)


def convert_images(
    raw: RawImages,
    samples: str | Path,
    outputs: Mapping[str, str | Path],
    *,
    structure: str,
    resizing: Resizing,
    workers: int = 1,
) -> None:
    """Convert the images of a table of samples, and list those that can't be used.

    Parameters
    ----------
    raw : RawImages
    samples : path
        Table of samples.
    outputs : mapping
        `volumes`, the HDF5 file to write, and `left_out`, a CSV file: images that can't be used, with the reason.
    structure : str
        What the images are called together.
    resizing : Resizing
    workers : int
        Processes that convert.

    Raises
    ------
    InputError
        The archive is damaged, unsafe or not the one wanted, two rows mean one file, or no image can be used.
    """
    raw.check()
    jobs = image_jobs(read_rows(samples, COLUMNS))
    problems: list[dict[str, object]] = []
    images_by_channels: dict[str, list[str]] = defaultdict(list)
    with (
        new_volumes(outputs["volumes"], structure, asdict(resizing)) as add,
        progress(f"convert {structure}", len(jobs), "images") as advance,
    ):
        for image in _convert_all(raw, _by_file(raw, jobs), resizing, workers):
            if image.volumes:
                add(image)
                images_by_channels[_channels_text(image)].append(image.job.image)
            problems += _problem_rows(image)
            advance(1)
        problems.sort(key=lambda problem: (str(problem["image"]), str(problem["task"])))
        # as objects: numbers of scenes beside empty cells would become 0.0
        table = pd.DataFrame(problems, columns=LEFT_OUT_COLUMNS, dtype=object)
        if not images_by_channels:
            raise InputError(f"{problem_text(table, structure)}\nNo image of it is left to use.")
    write_table(table, outputs["left_out"])
    for text, images in images_by_channels.items():
        logger.info("%s, such as %s: %s", counted(len(images), "image"), images[0], text)
    logger.info("%d of %d images of %s converted", sum(map(len, images_by_channels.values())), len(jobs), structure)


def image_jobs(samples: pd.DataFrame) -> list[ImageJob]:
    """Return what to convert of each image, in the order in which the table names them first.

    Parameters
    ----------
    samples : DataFrame
        Rows as `read_rows` returns them.
    """
    jobs: dict[tuple[object, ...], ImageJob] = {}
    for row in samples.to_dict("records"):
        place = (str(row["image"]), row.get("scene"), row.get("time"))
        if place not in jobs:
            sizes = tuple(None if pd.isna(size := row.get(column)) else float(size) for column in VOXEL_SIZE_UM)
            given = sizes if any(sizes) else None
            jobs[place] = ImageJob(len(jobs), *place, voxel_size_um=given, channels={SIGNAL: row["signal"]})
        jobs[place].channels[str(row["structure"])] = row["target"]
    return list(jobs.values())


def _by_file(raw: RawImages, jobs: Sequence[ImageJob]) -> dict[str, list[ImageJob]]:
    """Return the jobs of each file, by the name to ask for it.

    Raises
    ------
    InputError
        Two images of the table are one file of the archive.
    """
    by_file: dict[str, list[ImageJob]] = defaultdict(list)
    for job in jobs:
        name = raw.name(job.image)
        if name in by_file and by_file[name][0].image != job.image:
            raise InputError(
                f"The table of samples names both {by_file[name][0].image} and {job.image}, which are one file in the "
                f"archive ({name}); give them different names."
            )
        by_file[name].append(job)
    return by_file


def _convert_all(
    raw: RawImages, jobs: Mapping[str, list[ImageJob]], resizing: Resizing, workers: int
) -> Iterator[ConvertedImage]:
    """Convert the images of each file as it comes; a file that was unpacked or fetched is deleted then."""
    with scratch_folder("ssp-convert") as scratch, _Workers(workers, resizing) as pool:
        for file in raw.files(jobs, scratch):
            if file.path is None:
                for job in jobs[file.name]:
                    yield ConvertedImage(job, problems=dict.fromkeys(job.channels, file.problem))
                continue
            yield from pool.convert(file, jobs[file.name])
        yield from pool.finish()


class _Task(NamedTuple):
    """An image that is being converted."""

    file: RawFile
    job: ImageJob


class _Workers(AbstractContextManager["_Workers"]):
    """Processes that convert images, a few at a time.

    A process may be killed: for lack of memory, or by a corrupt file that its reader can't bear. Then the images that
    were being converted are converted again, each alone, and the one that kills its process again can't be used.
    """

    def __init__(self, num_workers: int, resizing: Resizing) -> None:
        self._num_workers, self._resizing = num_workers, resizing
        self._running: dict[Future[ConvertedImage], _Task] = {}
        self._left = Counter[Path]()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._pool = self._stack.enter_context(make_pool(self._num_workers))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def convert(self, file: RawFile, jobs: Sequence[ImageJob]) -> Iterator[ConvertedImage]:
        """Start to convert the images of a file; yield those that are done."""
        assert file.path is not None
        self._left[file.path] = len(jobs)
        for job in jobs:
            try:
                future = self._pool.submit(convert_image, file.path, job, self._resizing)
            except BrokenProcessPool:
                # a process was killed while this file was unpacked
                yield from self._convert_alone()
                future = self._pool.submit(convert_image, file.path, job, self._resizing)
            self._running[future] = _Task(file, job)
            if len(self._running) > self._num_workers:
                yield from self._wait()

    def finish(self) -> Iterator[ConvertedImage]:
        """Yield the images that are left."""
        while self._running:
            yield from self._wait()

    def _wait(self) -> Iterator[ConvertedImage]:
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        try:
            # in the order of the files, so that the same images give the same file of volumes
            for future in [future for future in self._running if future in done]:
                result = _result(future, self._running[future].job)
                self._forget(self._running.pop(future))
                yield result
        except BrokenProcessPool:
            yield from self._convert_alone()

    def _convert_alone(self) -> Iterator[ConvertedImage]:
        """Convert again, each in a process of its own, what was being converted when a process was killed."""
        tasks = list(self._running.values())
        self._running.clear()
        self._stack.close()
        for task in tasks:
            assert task.file.path is not None
            try:
                with _processes(1) as pool:
                    yield _result(pool.submit(convert_image, task.file.path, task.job, self._resizing), task.job)
            except BrokenProcessPool:
                reason = (
                    f"{task.job.place} could not be converted: the process was killed, for lack of memory or by a "
                    "corrupt file; give the rule more memory (mem_mb) or leave the image out."
                )
                yield ConvertedImage(task.job, problems=dict.fromkeys(task.job.channels, reason))
            self._forget(task)
        self._pool = self._stack.enter_context(make_pool(self._num_workers))

    def _forget(self, task: _Task) -> None:
        """Delete the file of an image that is done, if it is a copy and no other image of it is left."""
        assert task.file.path is not None
        self._left[task.file.path] -= 1
        if task.file.is_copy and not self._left[task.file.path]:
            task.file.path.unlink()


@contextmanager
def make_pool(workers: int) -> Iterator[Executor]:
    """Make a pool of processes of one thread each, as many as there are cores; for one worker, of one thread."""
    if workers == 1:
        with ThreadPoolExecutor(1) as thread:
            yield thread
        return
    with _processes(workers) as pool:
        yield pool


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with process_pool(workers) as pool:
            yield pool
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def convert_image(path: Path, job: ImageJob, resizing: Resizing) -> ConvertedImage:
    """Decode, standardise and resize the channels of one raw image."""
    result = ConvertedImage(job)
    try:
        result.source_bytes, result.source_sha256 = size_of(path), _checksum(path, path.stat().st_mtime_ns)
        with open_file(path, job.image) as file:
            _convert_channels(file.image(job.scene, job.time, job.voxel_size_um), resizing, result)
    except InputError as error:
        result.problems = dict.fromkeys(job.channels, str(error))
    except OSError as error:
        reason = f"{job.place} can't be read ({error.strerror or error}); check the file and its permissions."
        result.problems = dict.fromkeys(job.channels, reason)
    except MemoryError:
        return _too_large(job)
    return _without_useless(result)


def _result(future: Future[ConvertedImage], job: ImageJob) -> ConvertedImage:
    """Return the converted image; its process may have the memory for the volumes, but not to hand them over too."""
    try:
        return future.result()
    except MemoryError:
        return _too_large(job)


def _too_large(job: ImageJob) -> ConvertedImage:
    reason = f"{job.place} needs more memory than there is; give the rule more (mem_mb), or leave the image out."
    return ConvertedImage(job, problems=dict.fromkeys(job.channels, reason))


@lru_cache(maxsize=1)
def _checksum(path: Path, modified_ns: int) -> str:
    """Return the checksum of a file, taken once for all its scenes and time points."""
    return sha256_of(path)


def _convert_channels(image: Image, resizing: Resizing, result: ConvertedImage) -> None:
    factors = resizing.factors(image)
    result.pixel_size_um = tuple(size or np.nan for size in image.pixel_size_um)
    result.voxel_size_um = tuple(size / f for size, f in zip(result.pixel_size_um, factors, strict=True))
    for role, channel in result.job.channels.items():
        try:
            number = image.channel(channel)
            voxels, removed = to_model_voxels(image, channel, factors)
        except InputError as error:
            result.problems[role] = str(error)
        else:
            result.volumes[role] = Volume(voxels, number, image.channel_names[number], removed.mean, removed.std)


def _without_useless(image: ConvertedImage) -> ConvertedImage:
    """Drop a target without its signal, or a signal without a target."""
    if SIGNAL in image.problems:
        image.volumes.clear()
        image.problems = dict.fromkeys(image.job.channels, image.problems[SIGNAL])
    elif set(image.volumes) == {SIGNAL}:
        image.volumes.clear()
    return image


def _channels_text(image: ConvertedImage) -> str:
    """Say which channel is the signal and which are the targets, so that swapped channels are seen."""
    return ", ".join(
        f"{role} is {channel_title(volume.channel, volume.channel_name)}" for role, volume in image.volumes.items()
    )


def _problem_rows(image: ConvertedImage) -> list[dict[str, object]]:
    job = image.job
    place: dict[str, object] = {"image": job.image, "scene": job.scene, "time": job.time}
    return [
        place | {"task": task, "channel": job.channels[task], "reason": reason}
        for task, reason in image.problems.items()
        if task != SIGNAL
    ]
