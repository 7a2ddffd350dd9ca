"""Check that the comparison with the training images warns where it should, and only there.

    python benchmarks/likeness.py [--train 24] [--test 6] [--real FOLDER]

Simulates transmitted light, measures some images as a training does, and compares others: unchanged, and changed by the
microscope (focus, apertures, blur, noise, magnification) or by the file (inverted, planes reversed, wrong channel).
Focus and apertures are changed in the optics, before the camera. Magnifications are told by the file or not.

`--real` names a folder with the real images of docs/likeness.md. They are compared with the simulated images, and each
tile of one real image with its other tiles.
"""

import argparse
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from tables import show

from ssp_model.data.preprocess import Resizing, to_model_voxels
from ssp_model.data.signal_statistics import VERSION, measure, num_pixels
from ssp_model.images.reader import Image, open_file
from ssp_model.prediction.array_image import opened_image
from ssp_model.prediction.likeness import Likeness, Reference
from ssp_model.simulation import optics
from ssp_model.simulation.geometry import Grid, Sheet, grow_sheet

SHAPE, VOXEL_UM, SCALE = (32, 192, 192), (0.29, 0.10833, 0.10833), (1, 0.37241, 0.37241)
"""Of the simulated images, and how they are resized: as in the demo, but fewer pixels."""

MODEL_UM = tuple(size / factor for size, factor in zip(VOXEL_UM, SCALE, strict=True))
BLUR_UM = (0.15, 0.3, 0.6)
PHOTONS = (1000.0, 250.0, 60.0)
DEFOCUS_PLANES = (7, 14, -7, -14)
APERTURES = ((0.8, 0.4), (0.5, 0.3), (1.25, 0.2))
"""Of objective and condenser; 1.25 and 0.55 in the training images."""

MAGNIFIED = (1 / 2, 1 / 1.5, 1.5, 2)
FEWER_PIXELS, FEWER_PLANES = "a quarter of the field", "24 of the 32 planes"
"""Of the unchanged image: the same cells and optics, so no warning is wanted."""

STAINS = ("dna", "lamin_b1", "tom20")


class Signal(NamedTuple):
    """A signal as the network sees it, and the voxel size that its file gives."""

    voxels: np.ndarray
    pixel_size_um: tuple[float | None, ...]


def prepared(image: Image, channel: int = 0) -> Signal:
    known = all(image.pixel_size_um)
    resizing = Resizing(voxel_size_um=MODEL_UM) if known else Resizing(scale=(1, 1, 1))
    return Signal(to_model_voxels(image, channel, resizing.factors(image))[0], image.pixel_size_um)


def seen(raw: np.ndarray, voxel_um: tuple[float, ...] = VOXEL_UM) -> Signal:
    """Prepare raw intensities, (Z, Y, X)."""
    with opened_image(raw, voxel_um) as image:
        return prepared(image)


def exposed(sheet: Sheet, light: np.ndarray, photons: float = optics.LIGHT_PHOTONS) -> np.ndarray:
    return optics.expose(sheet.rng("camera"), light * photons)


@contextmanager
def apertures(objective: float, condenser: float) -> Iterator[None]:
    before = optics.OBJECTIVE_NA, optics.CONDENSER_NA
    try:
        optics.OBJECTIVE_NA, optics.CONDENSER_NA = objective, condenser
        optics.phase_transfer.cache_clear()
        yield
    finally:
        optics.OBJECTIVE_NA, optics.CONDENSER_NA = before
        optics.phase_transfer.cache_clear()


def defocused(sheet: Sheet, index: np.ndarray, planes: int) -> np.ndarray:
    """Return the light of a stack that was begun so many planes too high; too low if negative."""
    medium = np.zeros((abs(planes), *index.shape[1:]), index.dtype)
    if planes > 0:
        return optics.transmit(sheet, np.concatenate([index, medium]))[planes:]
    return optics.transmit(sheet, np.concatenate([medium, index]))[:planes]


def unchanged(number: int, group: int) -> Signal:
    sheet = grow_sheet(Grid(SHAPE, VOXEL_UM, (group, number)))
    index, _ = optics.refractive_index(sheet, set())
    return seen(exposed(sheet, optics.transmit(sheet, index)))


def changed(number: int) -> Iterator[tuple[str, Signal]]:
    """Yield an image, unchanged and changed in each way."""
    sheet = grow_sheet(Grid(SHAPE, VOXEL_UM, (1, number)))
    index, stains = optics.refractive_index(sheet, set(STAINS))
    light = optics.transmit(sheet, index)
    raw = exposed(sheet, light)
    yield FEWER_PIXELS, seen(raw[:, :96, :96])
    yield FEWER_PLANES, seen(raw[4:28])
    yield "inverted contrast", seen(raw.max() - raw)
    yield "planes in reverse order", seen(raw[::-1])
    for name in STAINS:
        stain = optics.blur(stains[name], sheet.voxel)
        photons = stain * (optics.FLUORESCENCE_PHOTONS / stain.max()) + optics.BACKGROUND_PHOTONS
        yield "fluorescence", seen(optics.expose(sheet.rng(name), photons))
    for width in BLUR_UM:
        blurred = ndimage.gaussian_filter(light, (0, width / VOXEL_UM[1], width / VOXEL_UM[2]), mode="wrap")
        yield f"blur of {width:g} um", seen(exposed(sheet, blurred))
    for photons in PHOTONS:
        yield f"noise of {photons:g} photons ({optics.LIGHT_PHOTONS:g})", seen(exposed(sheet, light, photons))
    for planes in DEFOCUS_PLANES:
        name = f"focus {abs(planes) * VOXEL_UM[0]:.0f} um too {'high' if planes > 0 else 'low'}"
        yield name, seen(exposed(sheet, defocused(sheet, index, planes)))
    for objective, condenser in APERTURES:
        with apertures(objective, condenser):
            yield f"NA {objective:g}, condenser {condenser:g}", seen(exposed(sheet, optics.transmit(sheet, index)))


def magnified(number: int) -> Iterator[tuple[str, Signal]]:
    """Yield images whose voxels are larger or smaller than those of the training images."""
    for factor in MAGNIFIED:
        z, y, x = (size * factor for size in VOXEL_UM)
        sheet = grow_sheet(Grid(SHAPE, (z, y, x), (2, number)))
        index, _ = optics.refractive_index(sheet, set())
        raw = exposed(sheet, optics.transmit(sheet, index))
        text = f"{factor:g} times coarser" if factor > 1 else f"{1 / factor:g} times finer"
        yield f"voxels {text}, the file says so", seen(raw, (z, y, x))
        yield f"voxels {text}, the file says otherwise", seen(raw)


class Case(NamedTuple):
    """An image that was compared: what it is, whether a warning is right, and what was found."""

    kind: str
    is_unlike: bool
    likeness: Likeness


def reference(signals: list[Signal]) -> Reference:
    return Reference(
        {
            "version": VERSION,
            "measures": [measure(signal.voxels) for signal in signals],
            "num_pixels": [num_pixels(signal.voxels.shape) for signal in signals],
            "pixel_size_um": [list(signal.pixel_size_um) for signal in signals],
        }
    )


def case(known: Reference, kind: str, signal: Signal, *, is_unlike: bool = True) -> Case:
    return Case(kind, is_unlike, known.compare(signal.voxels, signal.pixel_size_um))


def row(kind: str, cases: list[Case]) -> dict[str, object]:
    """Sum up the cases of one kind."""
    distances = sorted(found.likeness.distance for found in cases)
    said = Counter("; ".join(found.likeness.reasons) for found in cases if found.likeness.reasons)
    return {
        "image": kind,
        "should warn": "yes" if cases[0].is_unlike else "no",
        "warned": f"{said.total()} of {len(cases)}",
        "distance": f"{distances[0]:.1f} to {distances[-1]:.1f}",
        "most often said": said.most_common(1)[0][0] if said else "",
    }


def show_cases(name: str, context: str, cases: list[Case]) -> None:
    """Show right and wrong warnings: over all images, and for each kind."""
    counts = Counter((found.is_unlike, bool(found.likeness.reasons)) for found in cases)
    totals = (
        f"unlike: {counts[True, True]} warned, {counts[True, False]} not; "
        f"like: {counts[False, True]} warned, {counts[False, False]} not"
    )
    kinds = dict.fromkeys(found.kind for found in cases)
    rows = [row(kind, [found for found in cases if found.kind == kind]) for kind in kinds]
    show(name, f"{context}\n{totals}", pd.DataFrame(rows))


def simulated(num_train: int, num_test: int) -> Reference:
    train = [unchanged(number, 0) for number in range(num_train)]
    known = reference(train)
    cases = [case(known, "unchanged", unchanged(number, 3), is_unlike=False) for number in range(4 * num_test)]
    for number in range(num_test):
        for kind, signal in (*changed(number), *magnified(number)):
            cases.append(case(known, kind, signal, is_unlike=kind not in (FEWER_PIXELS, FEWER_PLANES)))
    show_cases("likeness", f"Simulated images, {num_train} of them for training", cases)
    large = np.random.default_rng(0).standard_normal((48, 1024, 1024), dtype=np.float32)
    for voxels in (train[0].voxels, large):
        started = time.process_time()
        measure(voxels)
        print(f"measure {' x '.join(map(str, voxels.shape))} voxels: {time.process_time() - started:.2f} s of CPU")
    return known


def tiles(archive: Path) -> Iterator[Signal]:
    """Yield the transmitted light of the images of an archive."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
        for path in sorted(Path(folder).rglob("*.czi")):
            with open_file(path) as file:
                yield prepared(file.image())


def changed_real(signal: Signal) -> Iterator[tuple[str, Signal]]:
    """Yield a real signal, changed by filters, as its optics are not known."""
    voxels, sizes = signal
    noise = np.random.default_rng(0).standard_normal(voxels.shape, dtype=np.float32)
    yield "inverted contrast", Signal(-voxels, sizes)
    yield "planes in reverse order", Signal(voxels[::-1], sizes)
    for width in (1, 2):
        blurred = ndimage.gaussian_filter(voxels, (0, width, width))
        yield f"blur of {width} voxels", Signal(blurred / blurred.std(), sizes)
    for share in (0.2, 0.5):
        noisy = voxels + share * noise
        yield f"noise of {share:g} standard deviations", Signal(noisy / noisy.std(), sizes)
    for factor in (1.5, 2):
        large = ndimage.zoom(voxels, factor, mode="nearest")
        yield f"structures {factor:g} times larger, the file says otherwise", Signal(large, sizes)


def real(folder: Path, known: Reference) -> None:
    """Compare real images with the simulated ones, and each tile of a real image with its other tiles."""
    lights = {}
    cases = []
    for name in ("alpha_tubulin", "sec61_beta"):
        lights[name] = list(tiles(folder / f"real-mini/{name}.tar.gz"))
        cases += [case(known, f"real tile of {name}", light) for light in lights[name]]
    with open_file(folder / "real/fnet_TL_DNA.ome.tif") as file:
        whole, dye = (prepared(file.image(), channel) for channel in (0, 1))
    cases += [case(known, "real fnet_TL_DNA, light", whole), case(known, "real fnet_TL_DNA, dye", dye)]
    show_cases("likeness_simulated_real", "Real images, against simulated training images", cases)

    cases = []
    of_image = lights["alpha_tubulin"]
    for number, light in enumerate(of_image):
        rest = reference(of_image[:number] + of_image[number + 1 :])
        cases.append(case(rest, "another tile of the image", light, is_unlike=False))
        cases += [case(rest, kind, signal) for kind, signal in changed_real(light)]
    rest = reference(of_image)
    cases += [case(rest, "a tile of sec61_beta", light) for light in lights["sec61_beta"]]
    cases.append(case(rest, "fnet_TL_DNA, light (same kind of microscope)", whole, is_unlike=False))
    cases.append(case(rest, "fnet_TL_DNA, dye", dye))
    show_cases("likeness_real", "Real images, against other tiles of alpha_tubulin", cases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=24, help="number of training images")
    parser.add_argument("--test", type=int, default=6, help="number of images that are changed in each way")
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="folder of real images")
    arguments = parser.parse_args()
    known = simulated(arguments.train, arguments.test)
    if arguments.real:
        real(arguments.real, known)


if __name__ == "__main__":
    main()
