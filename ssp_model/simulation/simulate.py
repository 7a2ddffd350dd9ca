"""A small simulated collection with the file layout of the Allen Institute's label-free collection.

Everything here is SIMULATED: no pixel comes from a microscope. The demo and the tests use it to run the whole workflow
without a download. What is modelled, and how:

- Cells: a packed sheet on a cover glass. Its geometry is stored as distances to cell borders, to the apical and basal
  surfaces, to nuclear envelopes and to nucleoli. Each structure is a density, made from these distances and from random
  fields. The field of view is periodic in Y and X, so the optics need no padding there.
- Transmitted light: the refractive index of all structures together, imaged by a partially coherent transfer function
  for weak objects (first Born, `phase_transfer`), with shading and camera noise.
- Fluorescence: the density of one structure, blurred by a Gaussian approximation of the PSF of a spinning-disk
  confocal microscope, with camera noise.

What is not modelled: aberrations, multiple scattering, absorption, and cells that divide or die.

Axes are Z (up from the cover glass), Y and X. Lengths are in um. In a low stack, cells are flatter.
"""

import csv
import json
import logging
import multiprocessing
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from pylibCZIrw import czi

from ssp_model.errors import InputError
from ssp_model.log import progress
from ssp_model.processes import end_with_parent
from ssp_model.simulation.geometry import Array, Grid, grow_sheet
from ssp_model.simulation.optics import (
    BACKGROUND_PHOTONS,
    FLUORESCENCE_PHOTONS,
    LIGHT_PHOTONS,
    blur,
    expected_counts,
    expose,
    refractive_index,
    transmit,
)

logger = logging.getLogger(__name__)

CHANNELS = ("CMDRP_camera_2", "CMDRP", "EGFP_camera_2", "EGFP", "H3342_camera_2", "H3342", "Bright_100")
"""Channels in a file. A second camera records weak bleed-through of the channel that follows."""

MEMBRANE_CHANNELS = ("H3342_camera_2", "H3342", "EGFP_camera_2", "EGFP", "Bright_100")
"""Channels if the membrane is the label: no membrane dye is needed, so signal is channel 4 and target channel 3."""

TARGET_CHANNELS = ("H3342", "EGFP")
"""Channels that are targets: the DNA, and the structure."""

NOISE_FREE = "noise_free"
"""Folder of the targets without noise."""

PROTEINS = {
    "alpha_tubulin": "Alpha tubulin",
    "beta_actin": "Beta actin",
    "desmoplakin": "Desmoplakin",
    "fibrillarin": "fibrillarin",
    "lamin_b1": "Lamin B1",
    "membrane_caax_63x": "CAAX",
    "myosin_iib": "myosin iib",
    "sec61_beta": "Sec61 beta",
    "st6gal1": "ST6GAL1",
    "tom20": "Tom20",
    "zo1": "ZO1",
}
"""The structures that can be simulated, and the names of their proteins in the image lists."""

NOT_IN_DNA = ("fibrillarin", "membrane_caax_63x")
"""Structures whose images are not used for the DNA task, as in the Allen collection."""


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Which images to simulate. Equal configs give equal pixels."""

    structures: tuple[str, ...]
    images: int
    """Number of images of each structure."""
    images_of: dict[str, int] = field(default_factory=dict)
    """Structures with another number of images, and their numbers."""
    shape_zyx: tuple[int, int, int] = (32, 256, 256)
    voxel_size_um: tuple[float, float, float] = (0.29, 0.10833, 0.10833)
    """Size of a voxel, (Z, Y, X)."""
    seed: int = 0
    noise_free: bool = False
    """Whether to write the targets without noise, too."""

    def number_of_images(self, structure: str) -> int:
        """Return the number of images of a structure."""
        return self.images_of.get(structure, self.images)


def channel_names(structure: str) -> tuple[str, ...]:
    """Return the channel names of a structure's files, in order."""
    return MEMBRANE_CHANNELS if structure == "membrane_caax_63x" else CHANNELS


def simulate_image(structure: str, index: int, config: SimulationConfig) -> NDArray[np.uint16]:
    """Simulate one image, (C, Z, Y, X), with the channels that `channel_names` gives for the structure."""
    return simulate_with_truth(structure, index, config)[0]


def simulate_with_truth(
    structure: str, index: int, config: SimulationConfig
) -> tuple[NDArray[np.uint16], dict[str, Array]]:
    """Simulate one image, and its targets without noise if the config asks for them.

    Returns
    -------
    tuple
        The image, (C, Z, Y, X), and by channel its fluorescence without noise in counts, (Z, Y, X).
    """
    check_structures((structure,))
    seed = (config.seed, zlib.crc32(structure.encode()), index)
    (nz, ny, nx), (dz, dy, dx) = config.shape_zyx, config.voxel_size_um
    sheet = grow_sheet(Grid((nz, ny, nx), (dz, dy, dx), seed))
    label = {"EGFP": structure, "H3342": "dna", "CMDRP": "membrane_caax_63x"}
    refraction, kept = refractive_index(sheet, set(label.values()))
    names = channel_names(structure)
    image = np.empty((len(names), *sheet.shape), np.uint16)
    truth: dict[str, Array] = {}
    for channel, name in reversed(list(enumerate(names))):
        rng = sheet.rng(name)
        if name == "Bright_100":
            image[channel] = expose(rng, transmit(sheet, refraction) * LIGHT_PHOTONS)
        elif name in label:
            stain = blur(kept[label[name]], sheet.voxel)
            gain = FLUORESCENCE_PHOTONS * rng.uniform(0.85, 1.15) / max(float(stain.max()), 1e-6)
            photons = stain * gain + BACKGROUND_PHOTONS
            image[channel] = expose(rng, photons)
            if config.noise_free and name in TARGET_CHANNELS:
                truth[name] = expected_counts(photons)
        else:
            bleed = (image[channel + 1] - np.minimum(image[channel + 1], 100)) >> 6
            image[channel] = 100 + bleed + rng.integers(0, 2, config.shape_zyx, np.uint8)
    return image, truth


def check_structures(structures: tuple[str, ...]) -> None:
    """Raise an `InputError` if a structure cannot be simulated."""
    for structure in structures:
        if structure not in PROTEINS:
            raise InputError(f"{structure!r} can't be simulated; choose structures from {', '.join(sorted(PROTEINS))}.")


def check_images(config: SimulationConfig) -> None:
    """Raise an `InputError` if `images_of` names another structure, or a structure has no image."""
    if unknown := sorted(config.images_of.keys() - set(config.structures)):
        raise InputError(f"images_of names {', '.join(unknown)}, which structures does not name; correct one of them.")
    if few := [name for name in config.structures if config.number_of_images(name) < 1]:
        raise InputError(f"The number of images of {', '.join(few)} is below 1; give each structure one or more.")


def write_czi(path: Path, image: NDArray[np.uint16], structure: str, config: SimulationConfig) -> None:
    """Write an image, (C, Z, Y, X), as a CZI file with zstd compression, channel names and voxel size."""
    size_z, size_y, size_x = (um * 1e-6 for um in config.voxel_size_um)  # CZI files store meters
    with czi.create_czi(str(path), compression_options="zstd1:ExplicitLevel=1;PreProcess=HiLoByteUnpack") as file:
        for channel, stack in enumerate(image):
            for z, plane in enumerate(stack):
                file.write(plane, plane={"C": channel, "Z": z, "T": 0})
        file.write_metadata(
            path.stem,
            channel_names=dict(enumerate(channel_names(structure))),
            scale_x=size_x,
            scale_y=size_y,
            scale_z=size_z,
            custom_attributes={"simulated": True},
        )


def write_truth(path: Path, truth: Mapping[str, Array], config: SimulationConfig) -> None:
    """Write targets without noise as an OME-TIFF file, (Z, C, Y, X), float32, with channel names and voxel size."""
    size_z, size_y, size_x = config.voxel_size_um
    names = [name for name in TARGET_CHANNELS if name in truth]
    metadata = {
        "axes": "ZCYX",
        "Channel": {"Name": names},
        **{f"PhysicalSize{axis}": size for axis, size in (("Z", size_z), ("Y", size_y), ("X", size_x))},
    }
    channels = np.stack([truth[name] for name in names], axis=1)
    tifffile.imwrite(path, channels, ome=True, metadata=metadata, compression="zlib")


def image_name(structure: str, index: int) -> str:
    """Return the file name of an image."""
    return f"simulated_{structure}_{index:04d}.czi"


def simulate_file(task: tuple[Path, str, int, SimulationConfig]) -> Path:
    """Simulate one image and write it as a CZI file. `task` is (folder, structure, index, config)."""
    folder, structure, index, config = task
    path = folder / image_name(structure, index)
    image, truth = simulate_with_truth(structure, index, config)
    write_czi(path, image, structure, config)
    if truth:
        write_truth(path.with_suffix(".tif"), truth, config)
    return path


@contextmanager
def mapper(workers: int) -> Iterator[Callable[..., Iterator[Path]]]:
    """Yield a `map` that keeps the order and runs in `workers` processes, or in this process if there is one worker."""
    if workers == 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(workers, initializer=end_with_parent) as pool:
        yield pool.imap


def simulate_collection(directory: Path, config: SimulationConfig, workers: int = 1) -> None:
    """Write a simulated collection: `{structure}.tar.gz` with CZI files, `lists/*.csv`, `collection.json`.

    With `noise_free`, there is also `noise_free/{structure}/*.tif`: the targets of each image without noise.

    If the folder holds the collection of the same config already, do nothing. The pixels do not depend on the number
    of workers. Each worker needs about 90 bytes of memory for each voxel of an image.

    Raises
    ------
    InputError
        A structure cannot be simulated, or has no images.
    """
    check_structures(config.structures)
    check_images(config)
    record = directory / "collection.json"
    described = asdict(config)
    if not config.noise_free:
        # as in collections of before, which are not written again
        del described["noise_free"]
    text = json.dumps({"simulated": True, **described}, indent=2) + "\n"
    archives = [directory / f"{structure}.tar.gz" for structure in config.structures]
    if all(path.exists() for path in (record, *archives)) and record.read_text() == text:
        logger.info("%s holds this simulated collection already", directory)
        return
    directory.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    shutil.rmtree(directory / NOISE_FREE, ignore_errors=True)
    write_lists(directory / "lists", config)
    total = sum(map(config.number_of_images, config.structures))
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix=".simulating-") as scratch,
        progress("Simulate images", total, "images") as advance,
        mapper(max(1, min(workers, total))) as map_files,
    ):
        tasks = [
            (Path(scratch), name, i, config) for name in config.structures for i in range(config.number_of_images(name))
        ]
        files = map_files(simulate_file, tasks)
        for structure, archive_path in zip(config.structures, archives, strict=True):
            part = Path(scratch) / archive_path.name
            # the CZI files are compressed already
            with tarfile.open(part, "w:gz", compresslevel=1) as archive:
                for _ in range(config.number_of_images(structure)):
                    path = next(files)
                    keep_truth(path.with_suffix(".tif"), directory / NOISE_FREE / structure)
                    add_file(archive, structure, path)
                    advance(1)
            part.replace(archive_path)
    part = directory / ".collection.json"
    part.write_text(text)
    part.replace(record)
    logger.info("simulated %d images of %s in %s", total, ", ".join(config.structures), directory)


def add_file(archive: tarfile.TarFile, structure: str, path: Path) -> None:
    """Move a file into an archive. The entry stores no time, owner or path of this machine."""
    entry = tarfile.TarInfo(f"{structure}/{path.name}")
    entry.size = path.stat().st_size
    with path.open("rb") as file:
        archive.addfile(entry, file)
    path.unlink()


def keep_truth(path: Path, folder: Path) -> None:
    """Move the targets without noise to their folder, if they were written."""
    if path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.replace(folder / path.name)


def write_lists(folder: Path, config: SimulationConfig) -> None:
    """Write the image list of each structure, and `dna.csv` with the images that the DNA task may use."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ("path_czi", "channel_signal", "channel_target", "structureProteinName", "colony_position")

    def write(name: str, rows: list[tuple[str, int, int, str, str]]) -> None:
        part = folder / f".{name}.csv"
        with part.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])
        part.replace(folder / f"{name}.csv")

    candidates = []
    for structure in config.structures:
        names = channel_names(structure)
        paths = [f"data/{structure}/{image_name(structure, i)}" for i in range(config.number_of_images(structure))]
        signal, target = names.index("Bright_100"), names.index("EGFP")
        write(structure, [(path, signal, target, PROTEINS[structure], "") for path in paths])
        if structure not in NOT_IN_DNA:
            candidates += [(path, signal, names.index("H3342"), PROTEINS[structure], "") for path in paths]
    write("dna", candidates)
