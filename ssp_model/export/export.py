"""Export a model file: choose structures, test what is written, and give it its name only then."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from torch import nn

from ssp_model.data.crops import pad_to
from ssp_model.data.preprocess import to_model_voxels
from ssp_model.errors import InputError
from ssp_model.export.bioimageio_package import Texts, write_package
from ssp_model.export.onnx_file import check_onnx, metadata_of, standardise, write_onnx
from ssp_model.figures.images import plot_cover
from ssp_model.figures.style import save
from ssp_model.files import sha256_of, size_of
from ssp_model.models.model_file import ModelInfo, load_model
from ssp_model.prediction.array_image import opened_image
from ssp_model.prediction.grid import factors_to_model
from ssp_model.prediction.predictor import only_channel
from ssp_model.report.model_card import make_card
from ssp_model.scratch import scratch_folder
from ssp_model.simulation.simulate import SimulationConfig, channel_names, simulate_image

logger = logging.getLogger(__name__)

FLAT = 1e-3
"""Spread of a piece, relative to that of its image, below which the piece shows nothing but rounding."""


@dataclass(frozen=True)
class Export:
    """What is exported.

    Attributes
    ----------
    model : path
        Model file.
    info : ModelInfo
        What it says.
    networks : mapping
        By structure, in the order of the model: the plain network that predicts it, on the CPU.
    raw : ndarray
        Image for the test: raw transmitted light at the model's voxel size, (Z, Y, X), as large as the patch.
    """

    model: Path
    info: ModelInfo
    networks: Mapping[str, nn.Module]
    raw: np.ndarray

    @property
    def metadata(self) -> dict[str, str]:
        """What an exported file says of itself."""
        return metadata_of(self.info, list(self.networks), sha256_of(self.model))


def prepare_export(
    model: Path, structures: Sequence[str] = (), image: Path | None = None, channel: int | str | None = None
) -> Export:
    """Read a model for export.

    Parameters
    ----------
    model : path
        Model file.
    structures : sequence of str
        All that the model knows if none are given.
    image : path, optional
        Image to test the export with. Without, one is simulated.
    channel : int or str, optional
        Channel of the transmitted light in the image. Needed if it has several.

    Raises
    ------
    InputError
        The model or the image can't be used, or the model does not know a structure.
    """
    network, info = load_model(model)
    tasks = sorted({info.task(structure) for structure in structures or info.structures})
    networks = {info.structures[task]: network.specialise(task).eval() for task in tasks}
    raw = simulated(info) if image is None else middle_of(image, channel, info)
    return Export(model, info, networks, raw)


def export_onnx(export: Export, out: Path) -> None:
    """Write one ONNX file, with an output for each structure.

    Raises
    ------
    InputError
        The suffix is not `.onnx`, or the file does not predict what the model does.
    """
    check_suffix(out, ".onnx")
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(f".part.{out.name}", out.parent) as folder:
        # a file names its second file, so both have their last names from the start
        files = write_onnx(export.networks, folder / out.name, export.metadata)
        difference = check_onnx(files[0], export.networks, standardise(export.raw)[None, None])
        written = [file.replace(out.parent / file.name) for file in reversed(files)]
    tell(written, export, difference)


def export_package(export: Export, out: Path, *, scores: Path | None = None, about: Path | None = None) -> None:
    """Write one package of bioimage.io, with an output for each structure and the model card as documentation.

    Parameters
    ----------
    export : Export
    out : path
        File to write, `.zip`.
    scores : path, optional
        Folder of the model's scores, for the card.
    about : path, optional
        YAML file of what only a person knows, for the card.

    Raises
    ------
    InputError
        The suffix is another; the package does not predict what the model does; or a file or text can't be used.
    """
    check_suffix(out, ".zip")
    card = make_card(export.model, scores=scores, about=about)
    with scratch_folder("ssp-export") as folder:
        cover = folder / "cover.png"
        draw_cover(export, cover)
        texts = Texts(card.about.name or plain_name(card.title), card.about, card.text, cover)
        difference = write_package(
            export.networks, out, info=export.info, raw=export.raw, texts=texts, metadata=export.metadata
        )
    tell([out], export, difference)


def plain_name(title: str) -> str:
    """Name a model that no person has named, with the characters that bioimage.io takes."""
    return re.sub("[^A-Za-z0-9_+() -]", "", title)[:128]


def check_suffix(out: Path, suffix: str) -> None:
    """Refuse a file to write whose suffix is that of another format.

    Raises
    ------
    InputError
    """
    if out.suffix != suffix:
        raise InputError(f"The file to write is {out}, but in this format it must end with {suffix}.")


def tell(written: Sequence[Path], export: Export, difference: float) -> None:
    """Say what was written and how exact it is."""
    logger.info(
        "wrote %s (%.1f MB) for %s; tested: at most %.0e of the spread away from the model's prediction",
        " and ".join(map(str, written)),
        sum(map(size_of, written)) / 1e6,
        ", ".join(export.networks),
        difference,
    )


def simulated(info: ModelInfo) -> np.ndarray:
    """Simulate transmitted light at the model's voxel size, (Z, Y, X), as large as the patch."""
    name = "fibrillarin"
    config = SimulationConfig(structures=(name,), images=1, shape_zyx=info.patch)
    if info.voxel_size_um:
        config = replace(config, voxel_size_um=info.voxel_size_um)
    return simulate_image(name, 0, config)[channel_names(name).index("Bright_100")].astype(np.float32)


def middle_of(path: Path, channel: int | str | None, info: ModelInfo) -> np.ndarray:
    """Return the middle of an image at the model's voxel size, raw, (Z, Y, X), as large as the patch.

    Raises
    ------
    InputError
        The image can't be read or used, or its middle is constant.
    """
    with opened_image(path) as image:
        number = only_channel(image) if channel is None else channel
        volume, removed = to_model_voxels(image, number, factors_to_model(image, info))
    padded, _ = pad_to(np.asarray(volume), info.patch)
    if padded.shape != volume.shape:
        logger.warning(
            "%s is smaller than a window of the model (%s voxels, %s are wanted): it is mirrored about its edges",
            path, " x ".join(map(str, volume.shape)), " x ".join(map(str, info.patch)),
        )  # fmt: skip
    starts = [(size - wanted) // 2 for size, wanted in zip(padded.shape, info.patch, strict=True)]
    middle = padded[tuple(slice(start, start + wanted) for start, wanted in zip(starts, info.patch, strict=True))]
    if middle.std(dtype=np.float64) < FLAT:
        raise InputError(
            f"{path} is constant in its middle ({' x '.join(map(str, info.patch))} voxels at the model's voxel size), "
            "which tests nothing; give an image with cells in its middle, or none to simulate one."
        )
    return middle * np.float32(removed.std) + np.float32(removed.mean)


@torch.inference_mode()
def draw_cover(export: Export, path: Path) -> None:
    """Draw the test image and what the networks predict in it."""
    signal = standardise(export.raw)
    x = torch.from_numpy(signal)[None, None]
    predictions = {name: network(x)[0, 0].numpy() for name, network in export.networks.items()}
    with rc_context({"savefig.pad_inches": 0}):
        save(plot_cover(signal, predictions, export.info.voxel_size_um), path, [path.suffix])
