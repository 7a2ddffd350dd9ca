"""Find the images that a table names: paths, patterns and addresses, as people on any system write them."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from ssp_model.errors import InputError
from ssp_model.images.find import is_zarr, matching_images

ADDRESSES = ("https", "http", "s3")
"""Schemes of images that are not on this machine."""

_ON_WINDOWS = os.name == "nt"


def is_address(image: str) -> bool:
    """Whether an image is given as `scheme://...`."""
    return "://" in image


def find_images(image: str, folder: str | Path) -> list[str]:
    """Return the images that a cell of a table names.

    Parameters
    ----------
    image : str
        A path, a pattern (`plates/*.czi`, `**` for all folders below), or a `file://`, `https://`, `http://` or
        `s3://` address.
    folder : path
        Folder from which relative paths start.

    Returns
    -------
    list of str
        Absolute paths, sorted, or the address. A path that does not exist is returned as it is: what checks the images
        tells all that are missing. A name that differs from the file's only in Unicode form or case is mended.

    Raises
    ------
    InputError
        The pattern matches no image, the image is a folder that is no OME-Zarr, it is on a Windows drive that is not
        here, or its scheme is not supported.
    """
    if is_address(image):
        scheme, _, place = image.partition("://")
        if scheme.lower() in ADDRESSES:
            return [_without_pattern(image)]
        if scheme.lower() != "file":
            raise InputError(f"{image}: {scheme}:// is not supported; use https://, http://, s3://, file:// or a path.")
        image = unquote(place.removeprefix("localhost"))
    path = _local_path(image, folder)
    found = _as_on_disk(path)
    if found is None:
        return _matches(path, image) or [str(path)]
    if found.is_dir() and not is_zarr(found):
        raise InputError(
            f"{image} is a folder, not an image (only a folder called *.zarr is one); for all images in it write a "
            f"pattern such as {image.rstrip('/')}/*.czi."
        )
    return [str(found)]


def two_names(images: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of paths that lead to one file, through links.

    Copies of a file are not found: compare their checksums.
    """
    first_name: dict[str, str] = {}
    for image in dict.fromkeys(images):
        if not is_address(image):
            first = first_name.setdefault(os.path.realpath(image), image)
            if first != image:
                yield first, image


def _without_pattern(address: str) -> str:
    if "*" in address:
        raise InputError(f"{address}: a pattern works only for files of this machine; write one row for each image.")
    return address


def _local_path(image: str, folder: str | Path) -> Path:
    """Return the absolute path, its `~`, backslashes, `.` and `..` resolved."""
    if not _ON_WINDOWS and (drive := re.match(r"[A-Za-z]:(?=[\\/])|\\\\[^\\]+\\[^\\]+", image)):
        raise InputError(
            f"{image} is on the Windows drive {drive[0]}, which is not on this machine; write the path that the image "
            "has here, best relative to the table's folder."
        )
    if "\\" in image and not _exists(Path(folder, image)):
        image = image.replace("\\", "/")
    try:
        # not resolve: a link keeps its name
        return Path(os.path.abspath(Path(folder, Path(image).expanduser())))  # noqa: PTH100
    except RuntimeError:
        raise InputError(f"{image}: there is no such home folder; write the whole path.") from None


def _as_on_disk(path: Path) -> Path | None:
    """Return the path of the file that is meant, if there is one: its parts may differ in Unicode form or in case."""
    if _exists(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[1:]:
        if not _exists(found / part):
            alike = _alike(found, part)
            if len(alike) != 1:
                return None
            part = alike[0]
        found /= part
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long, or in a folder that may not be entered
        return False


def _alike(folder: Path, name: str) -> list[str]:
    """Return the names in a folder that equal a name but for Unicode form; without any, but for case too."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    wanted = unicodedata.normalize("NFC", name)
    forms = {other: unicodedata.normalize("NFC", other) for other in names}
    return [other for other, form in forms.items() if form == wanted] or [
        other for other, form in forms.items() if form.casefold() == wanted.casefold()
    ]


def _matches(path: Path, image: str) -> list[str]:
    """Return the images that a pattern matches; nothing if it is no pattern."""
    images = [str(match) for match in matching_images(path)]
    # a file's name may hold brackets
    if not images and re.search(r"[*?]", image):
        raise InputError(f"{image} matches no image (looked for {path}); correct the pattern.")
    return images
