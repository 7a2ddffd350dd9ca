"""Zeiss CZI, by pylibCZIrw.

The directory of a CZI tells which planes and tiles were recorded: so missing planes and gaps between tiles are known,
which the library itself fills with zeros.
"""

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pylibCZIrw import czi

from ssp_model.errors import InputError
from ssp_model.images.description import SceneInfo, channel_names, pixel_size, to_number

OTHER_AXES = {"H": "phases", "I": "illuminations", "R": "rotations", "V": "views"}

TYPES = {
    "Gray8": np.uint8,
    "Gray16": np.uint16,
    "Gray32Float": np.float32,
    "Bgr24": np.uint8,
    "Bgr48": np.uint16,
    "Bgr96Float": np.float32,
}

COMPRESSIONS = {0: "", 1: "jpeg", 2: "lzw", 4: "jpeg xr", 5: "zstd", 6: "zstd"}


class Tile(NamedTuple):
    """A rectangle of a plane, in pixels of the whole file."""

    x: int
    y: int
    width: int
    height: int


class CziFormat:
    """A CZI file, opened."""

    name = "CZI"

    def __init__(self, path: Path) -> None:
        self._reader = czi.CziReader(str(path))
        try:
            self._read_directory()
            self.scenes = self._describe()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def plane(self, scene: int, time: int, channel: int, z: int) -> np.ndarray:
        """Return a plane, (Y, X), or (Y, X, samples) in colour."""
        starts = self._starts
        place = {"T": time + starts["T"], "C": channel + starts["C"], "Z": z + starts["Z"]}
        place |= {axis: start for axis, start in starts.items() if axis in OTHER_AXES}
        voxels = self._reader.read(
            roi=tuple(self._frames[scene]),
            plane={axis: value for axis, value in place.items() if axis in self._bounds},
            scene=self._numbers[scene],
        )
        return voxels if voxels.shape[2] > 1 else voxels[..., 0]

    def missing(self, scene: int, time: int, channel: int) -> list[int]:
        """Return the Z of planes without any tile."""
        tiles = self._tiles[self._numbers[scene]]
        return [z for z in range(self.scenes[scene].shape_zyx[0]) if (time, channel, z) not in tiles]

    def covered(self, scene: int, time: int, channel: int) -> np.ndarray | None:
        """Return which pixels were recorded in all planes of a channel, (Y, X); None if all were."""
        frame = self._frames[scene]
        if (scene, time, channel) not in self._covered:
            covered = np.ones((frame.height, frame.width), bool)
            places = {
                frozenset(tiles)
                for place, tiles in self._tiles[self._numbers[scene]].items()
                if place[:2] == (time, channel)
            }
            for tiles in places:
                in_plane = np.zeros_like(covered)
                for tile in tiles:
                    y, x = tile.y - frame.y, tile.x - frame.x
                    in_plane[y : y + tile.height, x : x + tile.width] = True
                covered &= in_plane
            self._covered[scene, time, channel] = None if covered.all() else covered
        return self._covered[scene, time, channel]

    def _read_directory(self) -> None:
        """Note which tiles each plane has, by scene, time, channel and Z."""
        self._bounds = {
            axis: bounds
            for axis, bounds in self._reader.total_bounding_box_no_pyramid.items()
            if axis in "TCZ" or axis in OTHER_AXES
        }
        self._starts = {axis: self._bounds.get(axis, (0, 1))[0] for axis in ("T", "C", "Z", *OTHER_AXES)}
        self._tiles: dict[int | None, dict[tuple[int, int, int], list[Tile]]] = defaultdict(lambda: defaultdict(list))
        self._covered: dict[tuple[int, int, int], np.ndarray | None] = {}
        self._compressions: set[int] = set()

        def note(_: int, block: Any) -> bool:
            place, rect = block.coordinate.to_dict(), block.logicalRect
            in_full = (block.physicalSize.w, block.physicalSize.h) == (rect.w, rect.h)
            if in_full and all(place.get(axis, self._starts[axis]) == self._starts[axis] for axis in OTHER_AXES):
                time, channel, z = (place.get(axis, self._starts[axis]) - self._starts[axis] for axis in "TCZ")
                self._tiles[place.get("S")][time, channel, z].append(Tile(rect.x, rect.y, rect.w, rect.h))
                self._compressions.add(block.compressionModeRaw)
            return True

        self._reader.enumerate_subblocks(note)
        if not self._tiles:
            raise ValueError("it holds no image")
        self._numbers = sorted(self._tiles, key=lambda number: -1 if number is None else number)
        self._frames = [_frame([tile for tiles in self._tiles[n].values() for tile in tiles]) for n in self._numbers]

    def _describe(self) -> list[SceneInfo]:
        root = ElementTree.fromstring(self._reader.raw_metadata)
        num_times, num_channels, depth = (
            end - start for start, end in (self._bounds.get(axis, (0, 1)) for axis in "TCZ")
        )
        pixel_types = self._reader.pixel_types
        types = [str(pixel_types.get(channel + self._starts["C"], "")) for channel in range(num_channels)]
        for name in types:
            if name not in TYPES:
                raise InputError(f"its pixel type {name or 'of a channel'} can't be read")
        notes = [
            f"of its {self._bounds[axis][1] - self._bounds[axis][0]} {name} the first is used"
            for axis, name in OTHER_AXES.items()
            if axis in self._bounds and self._bounds[axis][1] - self._bounds[axis][0] > 1
        ]
        scenes = []
        for number, frame in zip(self._numbers, self._frames, strict=True):
            shape = (depth, frame.height, frame.width)
            sizes = [_distance(root, axis) for axis in "ZYX"]
            scenes.append(
                SceneInfo(
                    name=_scene_name(root, number),
                    num_times=num_times,
                    channel_names=_channel_names(root, num_channels, self._starts["C"]),
                    shape_zyx=shape,
                    dtype=np.result_type(*(TYPES[name] for name in types)),
                    pixel_size=pixel_size(sizes, ["m"] * 3, "CZI metadata", shape),
                    compression=", ".join(
                        sorted({COMPRESSIONS.get(mode, f"method {mode}") for mode in self._compressions} - {""})
                    ),
                    colour_channels=frozenset(i for i, name in enumerate(types) if name.startswith("Bgr")),
                    notes=tuple(notes),
                )
            )
        return scenes


def _frame(tiles: list[Tile]) -> Tile:
    """Return the rectangle around tiles."""
    x, y = min(tile.x for tile in tiles), min(tile.y for tile in tiles)
    right, bottom = max(tile.x + tile.width for tile in tiles), max(tile.y + tile.height for tile in tiles)
    return Tile(x, y, right - x, bottom - y)


def _distance(root: ElementTree.Element, axis: str) -> float | None:
    """Return a pixel size of the metadata, in meters."""
    text = root.findtext(f".//Scaling/Items/Distance[@Id='{axis}']/Value")
    return to_number(text) if text else None


def _scene_name(root: ElementTree.Element, number: int | None) -> str:
    scene = root.find(f".//Dimensions/S/Scenes/Scene[@Index='{number}']")
    if scene is None:
        return ""
    shape = scene.find("Shape")
    names = [scene.get("Name"), shape.get("Name") if shape is not None else None]
    return "-".join(name for name in names if name)


def _channel_names(root: ElementTree.Element, num_channels: int, start: int) -> tuple[str, ...]:
    """Return the channels' names, of the dimensions or of the display settings."""
    for place in (".//Dimensions/Channels/Channel", ".//DisplaySetting/Channels/Channel"):
        names = [channel.get("Name") or "" for channel in root.findall(place)]
        if any(names):
            break
    else:
        names = []
    # in a file cut out of a larger one, channels keep their numbers but not always their entries
    names = names[start:] if len(names) >= start + num_channels else names
    return channel_names(names, num_channels)
