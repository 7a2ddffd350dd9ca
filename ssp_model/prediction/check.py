"""Say whether a model can be used on an image, and why not, without reading the image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from ssp_model.config.schema import PredictConfig
from ssp_model.data.preprocess import resized_shape
from ssp_model.errors import InputError
from ssp_model.images.inspect_table import plain_table, remarks_table, short_names
from ssp_model.images.reader import Image, ImageFile, open_file
from ssp_model.log import collected_warnings
from ssp_model.models.model_file import ModelInfo
from ssp_model.prediction.grid import factors_to_model
from ssp_model.prediction.sliding_window import Windows


@dataclass(frozen=True)
class ModelCheck:
    """Whether a model can be used on a scene.

    Attributes
    ----------
    scene : int
    name : str
        The file, and the scene where there are several.
    channels : tuple of int
        Channels that can be its input.
    shape_zyx : tuple of int, or None
        The volume at the model's voxel size; None if it can't be told.
    num_windows : int or None
        Windows to predict for each structure.
    problems : tuple of str
        Why the model can't be used; empty if it can.
    warnings : tuple of str
        What makes a prediction doubtful.
    """

    scene: int
    name: str
    channels: tuple[int, ...]
    shape_zyx: tuple[int, int, int] | None
    num_windows: int | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def check_file(
    path: str | Path, info: ModelInfo, config: PredictConfig, channel: int | str | None = None
) -> list[ModelCheck]:
    """Check each scene of a file.

    Parameters
    ----------
    path : path
        Microscope file.
    info : ModelInfo
        The model.
    config : PredictConfig
        The sliding window.
    channel : int or str, optional
        The transmitted light; without, one channel that can be used is enough.

    Raises
    ------
    InputError
        The file can't be read.
    """
    windows = Windows.of(info.patch, config)
    with open_file(path) as file:
        return [_check_scene(file, scene, channel, info, windows) for scene in range(len(file.scenes))]


def _check_scene(
    file: ImageFile, scene: int, channel: int | str | None, info: ModelInfo, windows: Windows
) -> ModelCheck:
    problems: list[str] = []
    shape = num_windows = None
    with collected_warnings() as warnings:
        image = file.image(scene, 0)
        try:
            file.times(scene)
        except InputError as error:
            problems.append(str(error))
        channels = _usable_channels(image, channel, problems)
        try:
            shape = resized_shape(image.shape_zyx, factors_to_model(image, info))
        except InputError as error:
            problems.append(str(error))
    if shape:
        num_windows = windows.count(shape)
        if small := [axis for axis, size, window in zip("ZYX", shape, windows.patch, strict=True) if size < window / 2]:
            warnings.append(
                f"{image.name} fills less than half of a window along {', '.join(small)}; the rest is mirrored"
            )
    return ModelCheck(scene, file.scene_text(scene), channels, shape, num_windows, tuple(problems), tuple(warnings))


def _usable_channels(image: Image, channel: int | str | None, problems: list[str]) -> tuple[int, ...]:
    """Return the channels that can be the input, and add to the problems if there is none."""
    usable, refused = [], []
    for wanted in range(len(image.channel_names)) if channel is None else [channel]:
        try:
            image.check(wanted)
            usable.append(image.channel(wanted))
        except InputError as error:
            refused.append(str(error))
    if not usable:
        problems += refused
    return tuple(usable)


def describe_checks(checks: Mapping[str, Sequence[ModelCheck]]) -> Iterator[RenderableType]:
    """Yield what to print of the checks of each file."""
    folders = short_names(list(checks))
    table = plain_table("Model", "Can be used", "Channels", "Z", "Y", "X", "Windows", right=("Z", "Y", "X", "Windows"))
    remarks: list[tuple[str, str]] = []
    for path, of_file in checks.items():
        for check in of_file:
            name = check.name.replace(path, folders[path], 1)
            verdict = Text("no", style="red") if check.problems else Text("yes", style="green")
            sizes = [f"{size:,}" for size in check.shape_zyx or ()] or ["-"] * 3
            windows = "-" if check.num_windows is None else f"{check.num_windows:,}"
            table.add_row(name, verdict, ", ".join(map(str, check.channels)) or "-", *sizes, windows)
            texts = (*check.problems, *check.warnings)
            remarks += [(name, text.removeprefix(check.name).removeprefix(path).lstrip()) for text in texts]
    yield ""
    yield table
    if remarks:
        yield ""
        yield remarks_table("For the model", remarks, style="yellow")
