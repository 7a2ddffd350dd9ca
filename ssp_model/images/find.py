"""Find image files: what a user gives on a command line may be a file, a folder or a quoted pattern."""

import glob
from collections.abc import Iterable
from pathlib import Path

from ssp_model.errors import InputError

SUFFIXES = (".czi", ".tif", ".tiff", ".zarr", ".ozx", ".lsm", ".nd2", ".lif", ".dv", ".ims", ".sldy", ".btf", ".zip")
"""Endings of the files that are taken for images in a folder. A file that is named is read whatever its name."""

ZARR_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray")


def find_images(places: Iterable[str | Path]) -> list[Path]:
    """Return the image files that paths, folders and patterns mean, each once.

    Parameters
    ----------
    places : iterable of path
        Files, OME-Zarr folders, folders with images in them, and patterns (`plates/*.czi`, `**` for all folders below).

    Returns
    -------
    list of path
        In the order given, those of a folder or pattern sorted. A path that does not exist is returned as it is: who
        reads it says so.

    Raises
    ------
    InputError
        A folder has no image in it, or a pattern matches none.
    """
    found = [path for place in places for path in _images_at(Path(place))]
    return list(dict.fromkeys(found))


def _images_at(path: Path) -> list[Path]:
    if path.is_dir():
        return [path] if is_zarr(path) else _images_in(path)
    # the name of a file may hold brackets and stars
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    images = matching_images(path)
    if not images:
        raise InputError(f"{path} matches no image; correct the pattern.")
    return images


def matching_images(pattern: Path) -> list[Path]:
    """Return the images that a pattern matches, sorted: files and Zarr folders, not the files inside a Zarr folder."""
    # not Path.glob: it takes no absolute pattern, and matches hidden files
    matches = sorted(map(Path, glob.glob(str(pattern), recursive=True)))  # noqa: PTH207
    return [match for match in matches if _is_image(match) and not any(map(is_zarr, match.parents))]


def _images_in(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and _is_image(path))
    if not images:
        raise InputError(
            f"{folder} is a folder without an image in it (such as *.czi, *.tif or *.zarr); for the folders below it, "
            f'write a pattern such as "{folder}/**/*.czi".'
        )
    return images


def _is_image(path: Path) -> bool:
    # macOS keeps notes on a file a.tif in ._a.tif
    return not path.name.startswith(".") and (path.is_file() or is_zarr(path))


def is_zarr(path: Path) -> bool:
    """Whether a path is the folder of a Zarr."""
    named = path.suffix.lower() == ".zarr" and path.is_dir()
    return named or any((path / name).is_file() for name in ZARR_METADATA)
