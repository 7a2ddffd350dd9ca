"""Convert one structure's archive of raw images to volumes at training resolution.

The archive is read once, front to back: an image is unpacked, converted by a worker and deleted again. So only a few
raw images are on the disk at the same time, and a few decoded ones in memory. Only the channels needed are decoded:
signal, target, and DNA where the image is a candidate for it.
"""

import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ssp_model.collection.archive import unpack
from ssp_model.collection.lists import member_name, read_list
from ssp_model.data.dataset import Volume
from ssp_model.data.left_out import problem_text
from ssp_model.data.preprocess import Resizing, to_model_voxels
from ssp_model.data.volumes import SIGNAL, ConvertedImage, ImageJob, new_volumes
from ssp_model.errors import InputError
from ssp_model.files import sha256_of, write_table
from ssp_model.images.reader import Image, open_file
from ssp_model.log import progress

logger = logging.getLogger(__name__)

LEFT_OUT_COLUMNS = ["path_czi", "task", "channel", "reason"]


@dataclass(frozen=True)
class RawImages:
    """Where the raw images of a structure are.

    Attributes
    ----------
    archive : path
        `.tar.gz` of the images.
    images : path
        Image list of the structure.
    dna_images : path, optional
        Image list of the DNA candidates.
    sha256 : str, optional
        Checksum (hexadecimal) that the archive must have.
    """

    archive: str | Path
    images: str | Path
    dna_images: str | Path | None = None
    sha256: str | None = None

    def check(self) -> None:
        """Refuse an archive with another checksum."""
        if self.sha256 and (found := sha256_of(self.archive)) != self.sha256:
            raise InputError(
                f"{self.archive}: has SHA-256 {found}, wanted {self.sha256}; check that this is the file you want and "
                "that collection.sha256 is right."
            )


def convert_archive(
    raw: RawImages,
    volumes: str | Path,
    left_out: str | Path,
    *,
    structure: str,
    dna: str | None,
    resizing: Resizing,
    workers: int = 1,
) -> None:
    """Convert one structure's images, and list those that can't be used.

    Parameters
    ----------
    raw : RawImages
    volumes : path
        HDF5 file to write.
    left_out : path
        CSV file to write: images that can't be used, by task, with the reason.
    structure, dna : str
        Names of the two tasks; `dna` is None if there is no such task.
    resizing : Resizing
    workers : int
        Processes that convert.

    Raises
    ------
    InputError
        The archive is damaged, unsafe or not the one wanted, the lists contradict each other, or no image can be used.
    """
    raw.check()
    jobs = image_jobs(read_list(raw.images), structure, read_list(raw.dna_images) if raw.dna_images else None, dna)
    problems: list[dict[str, object]] = []
    num_converted = 0
    with (
        new_volumes(volumes, structure, asdict(resizing)) as add,
        progress(f"convert {structure}", len(jobs), "images") as advance,
    ):
        for image in _convert_all(Path(raw.archive), jobs, resizing, workers):
            if image.volumes:
                add(image)
                num_converted += 1
            problems += _problem_rows(image)
            advance(1)
        problems.sort(key=lambda problem: (str(problem["path_czi"]), str(problem["task"])))
        table = pd.DataFrame(problems, columns=LEFT_OUT_COLUMNS)
        if not num_converted:
            raise InputError(f"{problem_text(table, structure)}\nNo image of it is left to use.")
    write_table(table, left_out)
    logger.info("%d of %d images of %s converted", num_converted, len(jobs), structure)


def image_jobs(
    images: pd.DataFrame, structure: str, candidates: pd.DataFrame | None, dna: str | None
) -> dict[str, ImageJob]:
    """Return what to convert of each image, by its name in the archive.

    Raises
    ------
    InputError
        The two lists give different signal channels for an image, or one names a file twice.
    """
    dna_rows = {} if candidates is None else candidates.set_index("path_czi").to_dict("index")
    jobs: dict[str, ImageJob] = {}
    for row, image in enumerate(images.to_dict("records")):
        path = str(image["path_czi"])
        channels = {SIGNAL: int(image["channel_signal"]), structure: int(image["channel_target"])}
        if dna and path in dna_rows:
            signal = int(dna_rows[path]["channel_signal"])
            if signal != channels[SIGNAL]:
                raise InputError(
                    f"The image lists disagree on the signal channel of {path}: {channels[SIGNAL]} for {structure}, "
                    f"{signal} for {dna}; correct one of them."
                )
            channels[dna] = int(dna_rows[path]["channel_target"])
        name = member_name(path)
        if name in jobs:
            raise InputError(
                f"The image list of {structure} names both {jobs[name].path_czi} and {path}, which are one file in the "
                f"archive ({name}); give them different names."
            )
        jobs[name] = ImageJob(row, path, channels)
    return jobs


def _convert_all(
    archive: Path, jobs: dict[str, ImageJob], resizing: Resizing, workers: int
) -> Iterator[ConvertedImage]:
    """Convert the listed members of an archive as they come; at last, those that it lacks."""
    seen: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="ssp-convert-") as scratch, make_pool(workers) as pool:
        running: set[Future[ConvertedImage]] = set()
        for name, path in unpack(archive, Path(scratch), jobs):
            if name in seen:
                raise InputError(f"{archive} holds {name} twice; pack it again with each image once.")
            seen.add(name)
            running.add(pool.submit(convert_image, path, jobs[name], resizing))
            if len(running) > workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from _results(done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from _results(done)
    for name, job in jobs.items():
        if name not in seen:
            reason = f"{job.path_czi} is in the image list but not in {archive} (looked for {name})."
            yield ConvertedImage(job, problems=dict.fromkeys(job.channels, reason))


@contextmanager
def make_pool(workers: int) -> Iterator[Executor]:
    """Make a pool of processes of one thread each, as many as there are cores; for one worker, of one thread."""
    if workers == 1:
        with ThreadPoolExecutor(1) as thread:
            yield thread
        return
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _results(done: "set[Future[ConvertedImage]]") -> Iterator[ConvertedImage]:
    for future in done:
        try:
            yield future.result()
        except BrokenProcessPool:
            raise InputError(
                "A converting process was killed, for lack of memory or by a corrupt image that its reader can't bear; "
                "give the rule more memory or fewer threads. If it comes again, convert with one thread "
                "(--set-threads convert_archive=1): the image then read last is the one to take off the list."
            ) from None


def convert_image(path: Path, job: ImageJob, resizing: Resizing) -> ConvertedImage:
    """Decode, standardise and resize the channels of one raw image, then delete it."""
    result = ConvertedImage(job, source_bytes=path.stat().st_size, source_sha256=sha256_of(path))
    try:
        with open_file(path, job.path_czi) as file:
            _convert_channels(file.image(), resizing, result)
    except InputError as error:
        result.problems = dict.fromkeys(job.channels, str(error))
    finally:
        path.unlink()
    return _without_useless(result)


def _convert_channels(image: Image, resizing: Resizing, result: ConvertedImage) -> None:
    factors = resizing.factors(image)
    result.pixel_size_um = tuple(size or np.nan for size in image.pixel_size_um)
    result.voxel_size_um = tuple(size / f for size, f in zip(result.pixel_size_um, factors, strict=True))
    for role, channel in result.job.channels.items():
        try:
            voxels, removed = to_model_voxels(image, channel, factors)
        except InputError as error:
            result.problems[role] = str(error)
        else:
            names = channel, image.channel_names[channel]
            result.volumes[role] = Volume(voxels, *names, removed.mean, removed.std)


def _without_useless(image: ConvertedImage) -> ConvertedImage:
    """Drop a target without its signal, or a signal without a target."""
    if SIGNAL in image.problems:
        image.volumes.clear()
        image.problems = dict.fromkeys(image.job.channels, image.problems[SIGNAL])
    elif set(image.volumes) == {SIGNAL}:
        image.volumes.clear()
    return image


def _problem_rows(image: ConvertedImage) -> list[dict[str, object]]:
    return [
        {"path_czi": image.job.path_czi, "task": task, "channel": image.job.channels[task], "reason": reason}
        for task, reason in image.problems.items()
        if task != SIGNAL
    ]
