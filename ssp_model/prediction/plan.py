"""Plan what is predicted of a microscope file, and how it is written, from the metadata alone."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

import ssp_model
from ssp_model.config.schema import ZYX
from ssp_model.data.preprocess import resized_shape
from ssp_model.errors import InputError
from ssp_model.hardware import free_memory
from ssp_model.images.description import Sizes
from ssp_model.images.ome_output import TRANSMITTED_LIGHT
from ssp_model.images.reader import TIME_IS_Z, Image, ImageFile, open_file
from ssp_model.prediction.grid import factors_to_model, sizes_on_model_grid
from ssp_model.prediction.outputs import SUFFIX, OutputFormat, scene_parts
from ssp_model.prediction.predictor import Grid, Predictor, only_channel
from ssp_model.prediction.requests import ImageRequest
from ssp_model.prediction.uncertainty import Ensemble

USUAL_MEMORY = 2 * 10**9
"""Bytes of memory that a prediction takes on a CPU at most, unless a single window and a strip need more."""

PLANES_AT_WORK = 8
"""Planes in float64 that are in memory while an image is read or written, with the writer's."""

Pixels = Literal["float32", "uint16"]


@dataclass(frozen=True)
class OutputSettings:
    """What is predicted, and how it is written.

    Attributes
    ----------
    structures : tuple of str
        All that the model knows if empty.
    grid : str
        `image` or `model`.
    format : str
        `ome-tiff` or `ome-zarr`.
    pixels : str
        `float32`: standardised intensities. `uint16`: each channel mapped over its own range, the mapping stored.
    max_memory : int, or None
        Bytes of memory that the process may take; without, about 2 GB, or what one window and one strip need.
    ensemble : Ensemble, or None
        What predicts, in place of one model, where each structure also gets a channel of its uncertainty.
    """

    structures: tuple[str, ...] = ()
    grid: Grid = "image"
    format: OutputFormat = "ome-tiff"
    pixels: Pixels = "float32"
    max_memory: int | None = None
    ensemble: Ensemble | None = None

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels of an output."""
        kinds = ("{}", "{} uncertainty") if self.ensemble else ("{}",)
        return (TRANSMITTED_LIGHT, *(kind.format(name) for name in self.structures for kind in kinds))

    @property
    def memory(self) -> int:
        """Bytes of memory to keep to."""
        return self.max_memory or USUAL_MEMORY


@dataclass(frozen=True)
class Plan:
    """An output image that can be predicted, as far as the metadata tell.

    Attributes
    ----------
    request : ImageRequest
    output : Path
    name : str
        What to call the image in messages.
    scene : int
    times : tuple of int or str
        Time points of the output, or `z` alone.
    channel : int or str
    factors : tuple of float
        Z, Y, X, from the image to the model's voxel size.
    shape_zyx, model_shape : tuple of int
        Voxels of the image, and at the model's voxel size.
    size_um : tuple of float or None
        Voxel size of the output.
    itemsize : int
        Bytes of a raw voxel.
    provenance : dict
        What the output says of its making.
    """

    request: ImageRequest
    output: Path
    name: str
    scene: int
    times: tuple[int | str, ...]
    channel: int | str
    factors: ZYX
    shape_zyx: tuple[int, int, int]
    model_shape: tuple[int, int, int]
    size_um: Sizes
    itemsize: int
    provenance: dict[str, str] = field(repr=False)

    def output_shape(self, grid: Grid) -> tuple[int, int, int]:
        """Voxels of the output, Z, Y, X."""
        return self.shape_zyx if grid == "image" else self.model_shape

    def num_voxels(self, num_predictions: int) -> int:
        """Return the voxels to predict, at the model's voxel size."""
        return math.prod(self.model_shape) * len(self.times) * num_predictions

    def scratch_bytes(self, num_channels: int) -> int:
        """Return what is kept meanwhile: raw and predicted volumes of all time points, and two that change."""
        kept = self.itemsize * math.prod(self.shape_zyx) + 4 * math.prod(self.model_shape) * num_channels
        depth = max(self.shape_zyx[0], self.model_shape[0])
        return len(self.times) * kept + 2 * 4 * depth * math.prod(self.model_shape[1:])

    def output_bytes(self, settings: OutputSettings) -> int:
        """Return the size of the output with its smaller levels, as if it could not be compressed."""
        itemsize = 2 if settings.pixels == "uint16" else 4
        voxels = math.prod(self.output_shape(settings.grid)) * len(self.times) * len(settings.channel_names)
        return itemsize * voxels * 4 // 3


def plan_images(
    request: ImageRequest, stem: str, folder: Path, predictor: Predictor, settings: OutputSettings
) -> tuple[list[Plan], dict[int, str]]:
    """Plan the outputs of a microscope file, one for each scene, from its metadata.

    Returns
    -------
    tuple
        The scenes that can be predicted, and by number why the others can't: the scene can't be used, or takes more
        memory than there is.

    Raises
    ------
    InputError
        The file can't be read.
    """
    plans, problems = [], {}
    with open_file(request.path) as file:
        parts = scene_parts([scene.name for scene in file.scenes])
        moment = "" if request.time in (None, TIME_IS_Z) else f"_t{request.time}"
        for scene in range(len(file.scenes)) if request.scene is None else [_scene_number(file, request.scene)]:
            output = folder / f"{stem}{parts[scene]}{moment}{SUFFIX[settings.format]}"
            try:
                times = file.times(scene) if request.time is None else (request.time,)
                image = file.image(scene, times[0], request.voxel_size_um)
                plan = _plan(request, image, output, scene, tuple(times), predictor=predictor, settings=settings)
                check_memory(plan, predictor, settings)
            except InputError as error:
                problems[scene] = str(error)
            else:
                plans.append(plan)
    return plans, problems


def _scene_number(file: ImageFile, wanted: int | str) -> int:
    info = file.image(wanted, 0).info
    return next(number for number, scene in enumerate(file.scenes) if scene is info)


def _plan(
    request: ImageRequest,
    image: Image,
    output: Path,
    scene: int,
    times: tuple[int | str, ...],
    *,
    predictor: Predictor,
    settings: OutputSettings,
) -> Plan:
    channel = only_channel(image) if request.channel is None else request.channel
    factors = factors_to_model(image, predictor.info)
    image.check(channel)
    size_um = image.pixel_size_um
    return Plan(
        request=request,
        output=output,
        name=image.name if len(times) == 1 else image.name.rpartition(", time ")[0],
        scene=scene,
        times=times,
        channel=channel,
        factors=factors,
        shape_zyx=image.shape_zyx,
        model_shape=resized_shape(image.shape_zyx, factors),
        size_um=size_um if settings.grid == "image" else sizes_on_model_grid(size_um, factors, predictor.info),
        itemsize=image.info.dtype.itemsize,
        provenance={
            "image": str(request.path.absolute()),
            "image bytes": str(request.path.stat().st_size),
            "scene": str(scene),
            "time": " ".join(map(str, times)),
            "transmitted light": image.channel_text(channel).removeprefix(image.name).strip(),
            "voxel size of the image, um (Z, Y, X)": " x ".join(f"{size:g}" if size else "unknown" for size in size_um),
            "source of the voxel size": image.info.pixel_size.source,
            **_provenance(predictor, settings),
        },
    )


def _provenance(predictor: Predictor, settings: OutputSettings) -> dict[str, str]:
    """Return what the outputs of all images say of their making."""
    return {
        "version": ssp_model.__version__,
        "model": predictor.path.name,
        "model sha256": predictor.sha256,
        "structures": ", ".join(settings.structures),
        "grid": settings.grid,
        "pixels": settings.pixels,
        "intensities": "standardised: mean 0 and standard deviation 1 of the raw channel",
        "window": " x ".join(map(str, predictor.windows.patch)),
        "overlap": f"{predictor.windows.overlap:g}",
        "flips": predictor.windows.flips,
        "precision": predictor.compute.precision,
        "device": str(predictor.compute.device),
        **(settings.ensemble.provenance(settings.structures) if settings.ensemble else {}),
    }


def check_memory(plan: Plan, predictor: Predictor, settings: OutputSettings) -> None:
    """Refuse an image of which not even one window and one strip fit in memory.

    Raises
    ------
    InputError
        With what is needed and what there is.
    """
    held = psutil.Process().memory_info().rss
    plane = 8 * max(math.prod(shape[1:]) for shape in (plan.shape_zyx, plan.model_shape))
    strip = predictor.windows.strip_bytes(plan.model_shape)
    needed = held + PLANES_AT_WORK * plane + strip + predictor.window_bytes
    limit = settings.max_memory or held + free_memory()
    if needed > limit:
        told = "--max-memory is" if settings.max_memory else "this machine has only"
        raise InputError(
            f"{plan.name} needs about {needed / 1e9:.1f} GB of memory, {strip / 1e9:.1f} GB of it for a strip, but "
            f"{told} {limit / 1e9:.1f} GB; allow more memory, or cut the image into parts."
        )
