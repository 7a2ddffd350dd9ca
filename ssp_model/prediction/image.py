"""Predict one image of a microscope file into one output image.

All structures are predicted from one read and one resize. Volumes that do not fit in memory are in files of the scratch
folder, and the output is written plane by plane.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from ssp_model.data.preprocess import Statistics, standardise, to_model_voxels
from ssp_model.images.description import Voxels
from ssp_model.images.ome_output import IntensityMapping, OmeContent, naming_a_full_disk
from ssp_model.images.ome_tiff import write_ome_tiff
from ssp_model.images.ome_zarr import write_ome_zarr
from ssp_model.images.reader import Image, open_file
from ssp_model.prediction.grid import on_image_grid, planes_of
from ssp_model.prediction.likeness import Likeness
from ssp_model.prediction.memory import MEMORY_ON_CPU
from ssp_model.prediction.plan import OutputSettings, Plan
from ssp_model.prediction.predictor import Grid, Predictor
from ssp_model.prediction.scratch import Volumes
from ssp_model.prediction.signal_predictor import Advance

SHARE_OF_VOLUMES = 8
"""Volumes of an image stay in memory if they take no more than this part of it."""

LIMITS = (0.1, 99.9)
"""Percentiles of a channel that viewers show as black and as full colour."""

LIMIT_PLANES = 16
"""Planes of a volume whose voxels tell the percentiles."""

Planes = Callable[[], Iterator[np.ndarray]]
"""Makes the planes, (Y, X), of a channel at one time point."""


def predict_to_file(
    plan: Plan, predictor: Predictor, settings: OutputSettings, scratch: Path, advance: Advance | None = None
) -> tuple[Path, Likeness | None]:
    """Predict the structures in one image, and write them after the transmitted light into one output.

    Parameters
    ----------
    plan : Plan
    predictor : Predictor
    settings : OutputSettings
    scratch : path
        Folder for volumes and for the output until it is finished.
    advance : callable, optional
        Told how many voxels more are done.

    Returns
    -------
    tuple
        The output, in the scratch folder, and how like the training images the image is; None if the model file does
        not tell. Of several time points, the one that is least like them counts.

    Raises
    ------
    InputError
        The image can't be read or used, or the disk is full.
    """
    written = scratch / plan.output.name
    with (
        naming_a_full_disk(written),
        open_file(plan.request.path) as file,
        Volumes(scratch, settings.memory // SHARE_OF_VOLUMES) as volumes,
    ):
        times = [
            _predict_time(
                _Time(t, file.image(plan.scene, time, plan.request.voxel_size_um), volumes),
                plan, predictor, settings, advance,
            )
            for t, time in enumerate(plan.times)
        ]  # fmt: skip
        channels = [of_time for of_time, _ in times]
        likeness = max((found for _, found in times if found), key=lambda found: found.distance, default=None)
        content = _content(plan, settings, channels, likeness)
        planes = (plane for of_time in channels for channel in of_time for plane in channel.planes())
        write = write_ome_tiff if settings.format == "ome-tiff" else write_ome_zarr
        write(written, planes, content)
    return written, likeness


@dataclass(frozen=True)
class _Channel:
    """A channel of the output at one time point: its planes, and a volume that shows how bright it is."""

    planes: Planes
    volume: Voxels


@dataclass(frozen=True)
class _Time:
    """One time point, and the places for its volumes."""

    number: int
    image: Image
    volumes: Volumes

    def place(self, name: str, shape: Sequence[int], dtype: np.dtype) -> Voxels:
        """Make a place: of its own for what is kept until the output is written, else for all time points."""
        return self.volumes.place(name if name == "planes" else f"{self.number} {name}", shape, dtype)

    def shared_place(self, name: str, shape: Sequence[int], dtype: np.dtype) -> Voxels:
        return self.volumes.place(f"shared {name}", shape, dtype)


def _predict_time(
    time: _Time, plan: Plan, predictor: Predictor, settings: OutputSettings, advance: Advance | None
) -> tuple[list[_Channel], Likeness | None]:
    """Predict all structures at one time point; return the channels of the output, and the likeness of the image."""
    signal, removed = to_model_voxels(time.image, plan.channel, plan.factors, time.place)
    likeness = predictor.reference.compare(signal, time.image.pixel_size_um) if predictor.reference else None
    channels = [_Channel(_signal_planes(time, plan, settings.grid, signal, removed), signal)]
    for structure in settings.structures:
        out = time.place(f"prediction {structure}", signal.shape, np.dtype(np.float32))
        held = psutil.Process().memory_info().rss
        memory = settings.memory - held - predictor.windows.strip_bytes(signal.shape)
        memory = min(max(memory, 0), MEMORY_ON_CPU)
        channels.append(_Channel(_prediction_planes(time, plan, settings.grid, out), out))
        if settings.ensemble:
            spread = time.place(f"uncertainty {structure}", signal.shape, np.dtype(np.float32))
            settings.ensemble.predict_signal(
                signal, structure, mean=out, uncertainty=spread, advance=advance, memory=memory
            )
            channels.append(_Channel(_uncertainty_planes(time, plan, settings.grid, spread), spread))
        else:
            predictor.predict_signal(signal, structure, out=out, advance=advance, memory=memory)
    return channels, likeness


def _signal_planes(time: _Time, plan: Plan, grid: Grid, signal: Voxels, removed: Statistics) -> Planes:
    if grid == "model":
        return lambda: planes_of(signal)
    # as it was recorded, not resized there and back
    raw, covered = time.volumes[f"{time.number} raw"], time.image.covered(plan.channel)
    return lambda: standardise(raw, removed, covered)


def _prediction_planes(time: _Time, plan: Plan, grid: Grid, predicted: Voxels) -> Planes:
    if grid == "model":
        return lambda: planes_of(predicted)
    return lambda: on_image_grid(predicted, plan.shape_zyx, time.shared_place)


def _uncertainty_planes(time: _Time, plan: Plan, grid: Grid, uncertainty: Voxels) -> Planes:
    planes = _prediction_planes(time, plan, grid, uncertainty)
    # a cubic resize goes a little below zero beside steep rises
    return lambda: (np.maximum(plane, 0) for plane in planes())


def _content(
    plan: Plan, settings: OutputSettings, channels: Sequence[Sequence[_Channel]], likeness: Likeness | None
) -> OmeContent:
    """Return what the output holds besides its pixels."""
    of_channel = list(zip(*channels, strict=True))
    limits = [_limits([channel.volume for channel in of_times]) for of_times in of_channel]
    mappings = None
    if settings.pixels == "uint16":
        mappings = [_mapping(of_times) for of_times in of_channel]
        limits = [
            (float(low), float(high))
            for mapping, ends in zip(mappings, limits, strict=True)
            for low, high in [mapping.to_stored(np.array(ends))]
        ]
    return OmeContent(
        (len(plan.times), len(of_channel), *plan.output_shape(settings.grid)),
        settings.channel_names,
        plan.size_um,
        mappings=mappings,
        contrast_limits=limits,
        provenance=plan.provenance | (likeness.provenance(plan.name) if likeness else {}),
    )


def _limits(volumes: Sequence[Voxels]) -> tuple[float, float]:
    """Return the percentiles of a channel, from some of its planes."""
    places = [(volume, z) for volume in volumes for z in range(volume.shape[0])]
    chosen = places[:: -(-len(places) // LIMIT_PLANES)]
    low, high = np.percentile(np.concatenate([volume[z][::2, ::2].ravel() for volume, z in chosen]), LIMITS)
    return float(low), float(high)


def _mapping(of_times: Sequence[_Channel]) -> IntensityMapping:
    """Return the mapping to uint16 over the range of a channel at all time points."""
    ends = [(float(plane.min()), float(plane.max())) for channel in of_times for plane in channel.planes()]
    return IntensityMapping.of_range(min(low for low, _ in ends), max(high for _, high in ends))
