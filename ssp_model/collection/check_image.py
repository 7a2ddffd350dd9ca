"""Check the samples of one image file: scene, time point, channels, sizes and, if asked for, intensities."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ssp_model.errors import InputError
from ssp_model.files import size_of
from ssp_model.images.inspect import Intensities, measure, number_text, planes_text, share_text
from ssp_model.images.reader import Image, ImageFile, open_file
from ssp_model.log import collected_warnings

ERROR, WARNING = "error", "warning"

SATURATED = 0.001
"""Share of saturated voxels from which on a channel is told of."""

HOT_TIMES = 10
"""A hot voxel matters if it lies so many times as far above the median as the 99.9 percentile."""

Factors = Callable[[Image], Sequence[float]]
"""Returns the resize factors (Z, Y, X) of an image, or raises `InputError`, as `Resizing.factors` does."""


class Problem(NamedTuple):
    """A row of the table of problems."""

    severity: str
    image: str
    structure: str
    problem: str


class Place(NamedTuple):
    """Where the volumes of a sample are: an image, and in it a scene and a time point."""

    image: str
    scene: int | str | None
    time: int | str | None
    voxel_size_um: tuple[float | None, ...] | None


class ChannelUse(NamedTuple):
    """A channel of an image, as a sample uses it."""

    image: str
    place: Place
    structure: str
    role: str
    channel: int
    channel_name: str
    dtype: str
    shape_zyx: tuple[int, int, int]
    resized_zyx: tuple[int, int, int]
    voxel_size_um: tuple[float, ...] | None

    @property
    def num_bytes(self) -> int:
        """Bytes of the volume."""
        return 4 * math.prod(self.resized_zyx)

    @property
    def memory(self) -> int:
        """Bytes that are held while the volume is made: the raw channel, its planes resized, and the volume."""
        raw = np.dtype(self.dtype).itemsize * math.prod(self.shape_zyx)
        return raw + 4 * self.shape_zyx[0] * math.prod(self.resized_zyx[1:]) + self.num_bytes


@dataclass
class CheckedImage:
    """What was found in an image.

    Attributes
    ----------
    problems : dict
        Structures that a problem concerns, by severity and sentence.
    unusable : set
        Scene, time point and structure of the samples that have an error.
    """

    image: str
    path: Path
    structures: set[str]
    num_bytes: int = 0
    problems: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    uses: list[ChannelUse] = field(default_factory=list)
    unusable: set[tuple[Any, Any, str]] = field(default_factory=set)

    def add(self, severity: str, structures: Iterable[str], sentence: str) -> None:
        """Note a problem, once for all structures that it concerns."""
        self.problems[severity, sentence].update(structures)

    def refuse(self, rows: Iterable[Mapping[str, Any]], sentence: str) -> "CheckedImage":
        """Note a problem of the whole file, which leaves none of its samples to use."""
        self.add(ERROR, self.structures, sentence)
        self.unusable |= {(_cell(row, "scene"), _cell(row, "time"), row["structure"]) for row in rows}
        return self

    @property
    def rows(self) -> list[Problem]:
        """The problems as rows of the table."""
        return [
            Problem(severity, self.image, ", ".join(sorted(structures)), sentence)
            for (severity, sentence), structures in self.problems.items()
        ]

    def add_place(self, place: Place, found: "CheckedImage") -> None:
        """Note what was found in one scene at one time point."""
        for (severity, sentence), structures in found.problems.items():
            self.add(severity, structures, sentence)
            if severity == ERROR:
                self.unusable |= {(place.scene, place.time, structure) for structure in structures}
        self.uses += found.uses


def check_image(
    image: str, rows: Sequence[Mapping[str, Any]], *, factors: Factors, pixels: bool = False
) -> CheckedImage:
    """Check all samples of one image file.

    Parameters
    ----------
    image : str
        Its name in the table.
    rows : sequence of mapping
        Its rows of the table.
    factors : callable
        Returns the resize factors of an image.
    pixels : bool, optional
        Also read the intensities.
    """
    place_on_disk = str(_cell(rows[0], "path") or image)
    structures = {row["structure"] for row in rows}
    path = Path(place_on_disk)
    found = CheckedImage(image, path, structures)
    if "://" in place_on_disk:
        found.add(WARNING, structures, f"{image} is not on this machine, so it is checked only when it is converted.")
        return found
    try:
        with open_file(path, image) as file:
            found.num_bytes = size_of(path)
            for (scene, time, sizes), some in _by_place(rows).items():
                place, of_place = Place(image, scene, time, sizes), CheckedImage(image, path, structures)
                _check_place(file, place, some, of_place, factors=factors, pixels=pixels)
                found.add_place(place, of_place)
    except InputError as error:
        found.refuse(rows, str(error))
    except MemoryError:
        found.refuse(rows, f"{image} needs more memory than there is; give the rule more (mem_mb), or leave it out.")
    return found


def _by_place(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, Any, Any], list[Mapping[str, Any]]]:
    """Return the rows of each scene, time point and voxel size."""
    places: dict[tuple[Any, Any, Any], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        places[_cell(row, "scene"), _cell(row, "time"), _given_sizes(row)].append(row)
    return places


def _cell(row: Mapping[str, Any], column: str) -> Any:
    """Return a cell, None if it is empty or there is no such column."""
    value = row.get(column)
    return None if pd.isna(value) else value


def _given_sizes(row: Mapping[str, Any]) -> tuple[float | None, ...] | None:
    """Return the voxel size that a row gives, None for an axis that it does not, None if it gives none."""
    sizes = tuple(_cell(row, f"voxel_size_{axis}_um") for axis in "zyx")
    return sizes if any(sizes) else None


def _check_place(
    file: ImageFile,
    place: Place,
    rows: Sequence[Mapping[str, Any]],
    found: CheckedImage,
    *,
    factors: Factors,
    pixels: bool,
) -> None:
    """Check the samples of one scene at one time point."""
    structures = {row["structure"] for row in rows}
    resize: Sequence[float] | None = None
    with collected_warnings() as warnings:
        try:
            image = file.image(place.scene, place.time, place.voxel_size_um)
        except InputError as error:
            found.add(ERROR, structures, str(error))
            return
        try:
            resize = factors(image)
        except InputError as error:
            found.add(ERROR, structures, str(error))
    for text in warnings:
        found.add(WARNING, structures, f"{text}.")
    sound: dict[int | str, set[str]] = defaultdict(set)
    for row in rows:
        channels = _check_channels(image, row, found)
        for channel in channels.values():
            sound[channel].add(row["structure"])
        if resize is not None:
            for role, channel in channels.items():
                found.uses.append(_use(image, channel, resize, place=place, structure=row["structure"], role=role))
    if pixels:
        for channel, of in sound.items():
            _check_intensities(image, channel, of, found)


def _check_channels(image: Image, row: Mapping[str, Any], found: CheckedImage) -> dict[str, int | str]:
    """Return the channels of a sample that can be read, by role."""
    sound = {}
    for role in ("signal", "target"):
        try:
            image.check(row[role])
            sound[role] = row[role]
        except InputError as error:
            found.add(ERROR, [row["structure"]], str(error))
    if len(sound) == 2 and image.channel(row["signal"]) == image.channel(row["target"]):
        found.add(
            ERROR, [row["structure"]], f"{image.channel_text(row['signal'])} is both signal and target; correct one."
        )
    return sound


def _use(
    image: Image,
    channel: int | str,
    resize: Sequence[float],
    *,
    place: Place,
    structure: str,
    role: str,
) -> ChannelUse:
    z, y, x = (round(size * factor) for size, factor in zip(image.shape_zyx, resize, strict=True))
    known = [size for size in image.pixel_size_um if size]
    number = image.channel(channel)
    return ChannelUse(
        image=image.name,
        place=place,
        structure=structure,
        role=role,
        channel=number,
        channel_name=image.channel_names[number],
        dtype=image.info.dtype.name,
        shape_zyx=image.shape_zyx,
        resized_zyx=(z, y, x),
        voxel_size_um=tuple(size / f for size, f in zip(known, resize, strict=True)) if len(known) == 3 else None,
    )


def _check_intensities(image: Image, channel: int | str, structures: set[str], found: CheckedImage) -> None:
    try:
        intensities = measure(image.planes(channel), image.covered(channel))
    except InputError as error:
        found.add(ERROR, structures, str(error))
        return
    for severity, text in judge(intensities):
        found.add(severity, structures, f"{image.channel_text(channel)} {text}.")


def judge(of: Intensities) -> Iterator[tuple[str, str]]:
    """Yield severity and words for what is wrong with the intensities of a channel."""
    if of.not_finite:
        yield ERROR, f"holds {of.not_finite:,} voxels that are not finite numbers; crop them away"
    if of.min is None or of.max is None:
        return
    if of.is_constant:
        yield ERROR, f"is constant (every voxel is {number_text(of.min)}), so it can't be standardised"
        return
    if of.odd_planes:
        yield WARNING, f"has one value throughout {planes_text(of.odd_planes)}; cut such planes off"
    if of.saturated > SATURATED and not of.is_mask:
        yield (
            WARNING,
            f"is saturated: {share_text(of.saturated)} of its voxels have the highest value that the camera gives, "
            f"{number_text(of.ceiling)}; expose for a shorter time, or leave it out",
        )
    _, median, high = (value or 0.0 for value in of.percentiles)
    if of.hot_voxels and of.max - median > HOT_TIMES * (high - median):
        counted = f"{of.hot_voxels:,} hot voxel{'s' if of.hot_voxels > 1 else ''}"
        yield (
            WARNING,
            f"holds {counted}, up to {number_text(of.max)} (median {number_text(median)}), which scale all others "
            "down; take them out of the image",
        )
    if of.not_covered:
        yield WARNING, f"has no recorded tile over {share_text(of.not_covered)} of its area, which takes the mean"
