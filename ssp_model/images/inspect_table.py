"""Show on a terminal what is in microscope files, as `inspect.py` returns it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ssp_model.images.description import channel_title, own_name
from ssp_model.images.inspect import (
    ChannelReport,
    FileReport,
    Intensities,
    SceneReport,
    number_text,
    planes_text,
    share_text,
    size_text,
)

WIDE = 10_000
"""Columns of what is no terminal: nothing is wrapped, so that a program such as grep finds whole lines."""


def console() -> Console:
    """Return where to print: as wide as the terminal; a file or pipe gets long lines and no colours."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDE)


def plain_table(*heads: str, right: Sequence[str] = ()) -> Table:
    """Return a table without rows, of the look that all commands share; columns in `right` are aligned right."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for head in heads:
        table.add_column(
            head, justify="right" if head in right else "left", no_wrap=head in right, vertical="top", overflow="fold"
        )
    return table


def describe_files(reports: Sequence[FileReport]) -> Iterator[RenderableType]:
    """Yield what to print of files: their axes, their channels' intensities if read, and what a user must know."""
    readable = [report for report in reports if not report.error]
    names = short_names([report.path for report in reports])
    if folder := common_folder([report.path for report in reports]):
        yield Text(f"In {folder}", style="bold")
    if readable:
        yield ""
        yield _axes_table(readable, names)
    if any(channel.intensities for report in readable for scene in report.scenes for channel in scene.channels):
        yield ""
        yield _intensities_table(readable, names)
    remarks = [(names[report.path], text) for report in readable for text in file_remarks(report)]
    if remarks:
        yield ""
        yield remarks_table("Remarks", remarks, style="yellow")
    errors = [(names[report.path], report.error.removeprefix(f"{report.path} ")) for report in reports if report.error]
    if errors:
        yield ""
        yield remarks_table("Can't be read", errors, style="red")


def remarks_table(title: str, rows: Sequence[tuple[str, str]], style: str) -> Table:
    """Return a table of files and sentences about them."""
    table = plain_table(title, "")
    before = ""
    for name, text in rows:
        table.add_row(Text(name if name != before else "", style=style), Text(text.removesuffix(".")))
        before = name
    return table


def common_folder(paths: Sequence[str]) -> str:
    """Return the folder that several files lie in, or below; empty for a single file, or if there is none."""
    if len({Path(path).is_absolute() for path in paths}) != 1 or len(paths) < 2:
        return ""
    folder = os.path.commonpath([Path(path).parent for path in paths])
    return "" if folder == os.path.sep else folder


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return what to call each file in a table: without the folder that all lie in."""
    folder = common_folder(paths)
    return {path: str(Path(path).relative_to(folder)) if folder else path for path in paths}


def scene_name(name: str, report: FileReport, scene: SceneReport) -> str:
    """Return what to call a scene in a table: the file, and the scene if there are several."""
    return name if len(report.scenes) == 1 else f"{name}, scene {scene.number} {scene.name}".rstrip()


def _axes_table(reports: Sequence[FileReport], names: dict[str, str]) -> Table:
    counts = ("T", "C", "Z", "Y", "X")
    table = plain_table("File", *counts, "Type", "Pixel size (um)\nZ      Y      X", "Channels", right=counts)
    for report in reports:
        first = True
        for scene in report.scenes:
            name = Text(names[report.path] if first else "", style="bold")
            if len(report.scenes) > 1:
                name.append(f"{chr(10) if first else ''}scene {scene.number} {scene.name}".rstrip(), style="not bold")
            if first:
                name.append(f"\n{report.format}, {size_text(report.num_bytes)}", style="dim not bold")
            sizes = (scene.num_times, len(scene.channels), *scene.shape_zyx)
            kind = Text(scene.dtype).append(f"\n{scene.compression}", style="dim")
            table.add_row(name, *map(str, sizes), kind, _pixel_size_text(scene), _channels_text(scene))
            first = False
    return table


def _pixel_size_text(scene: SceneReport) -> Text:
    sizes = " ".join("?     " if size is None else f"{size:<6.3g}" for size in scene.pixel_size_um)
    source = "not known" if scene.pixel_size_source == "none" else scene.pixel_size_source
    style = "" if all(scene.pixel_size_um) else "yellow"
    return Text(sizes.rstrip(), style=style).append(f"\n{source}", style="dim")


def _channels_text(scene: SceneReport) -> Text:
    text = Text()
    for channel in scene.channels:
        name = own_name(channel.number, channel.name)
        text.append(", " if len(text) else "").append(str(channel.number), style="bold").append(
            f" {name}" if name else ""
        )
    return text


def _intensities_table(reports: Sequence[FileReport], names: dict[str, str]) -> Table:
    numbers = ("min", "0.1 %", "median", "99.9 %", "max", "mean", "saturated", "hot")
    table = plain_table("Channel", *numbers, right=numbers)
    for report in reports:
        for scene in report.scenes:
            table.add_row(Text(scene_name(names[report.path], report, scene), style="bold"))
            for channel in scene.channels:
                table.add_row(
                    f"  {channel.number} {own_name(channel.number, channel.name)}",
                    *_intensity_cells(channel.intensities),
                )
    return table


def _intensity_cells(of: Intensities | None) -> list[str | Text]:
    if of is None:
        return ["-"] * 8
    values = (of.min, *of.percentiles, of.max, of.mean)
    is_saturated = of.saturated > 0 and not of.is_mask
    saturated = Text(share_text(of.saturated) if is_saturated else "-", style="yellow" if is_saturated else "")
    hot = Text(f"{of.hot_voxels:,}" if of.hot_voxels else "-", style="yellow" if of.hot_voxels else "")
    return [*map(number_text, values), saturated, hot]


def file_remarks(report: FileReport) -> Iterator[str]:
    """Yield a sentence for each thing that a user must know of a file."""
    for scene in report.scenes:
        prefix = f"scene {scene.number}: " if len(report.scenes) > 1 else ""
        for text in _scene_remarks(scene):
            yield prefix + text


def _scene_remarks(scene: SceneReport) -> Iterator[str]:
    yield from scene.notes
    if scene.pixel_size_doubts:
        yield f"its {scene.pixel_size_source} say {', '.join(scene.pixel_size_doubts)}: not plausible, so not used"
    if scene.num_times > 1 and scene.shape_zyx[0] == 1:
        yield f"{scene.num_times} time points of a single plane; if they are a z-stack, give z as time (--time z)"
    for channel in scene.channels:
        for text in _channel_remarks(channel):
            yield f"{channel_title(channel.number, channel.name)} {text}"


def _channel_remarks(channel: ChannelReport) -> Iterator[str]:
    if channel.is_colour:
        yield f"is a colour image; give {channel.number}:grey to use the mean of its colours"
    if channel.missing_planes:
        yield f"lacks {planes_text(channel.missing_planes)}"
    elif channel.error:
        yield f"can't be read: {channel.error}"
    if channel.intensities:
        yield from intensity_remarks(channel.intensities)


def intensity_remarks(of: Intensities) -> Iterator[str]:
    """Yield what is odd in the intensities of a channel, each with its own verb."""
    if of.is_constant:
        yield f"is constant: every voxel is {number_text(of.min)}" if of.min is not None else "holds no finite number"
    elif of.odd_planes:
        yield f"has one value throughout {planes_text(of.odd_planes)}"
    if of.is_mask and not of.is_constant:
        yield "has only two values, as a mask has"
    if of.not_finite:
        yield f"holds {of.not_finite:,} voxels that are not finite numbers"
    if of.not_covered:
        yield f"has no recorded tile over {share_text(of.not_covered)} of its area"
