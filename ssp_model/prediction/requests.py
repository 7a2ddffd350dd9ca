"""Which images to predict: files, patterns, folders and tables, as a user names them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssp_model.collection.image_paths import find_images as find_images_of_cell
from ssp_model.collection.image_paths import is_address
from ssp_model.errors import InputError
from ssp_model.images.description import Sizes
from ssp_model.images.find import find_images


@dataclass(frozen=True)
class ImageRequest:
    """An image to predict.

    Attributes
    ----------
    path : Path
    channel : int, str or None
        The transmitted light: number, from 0, or name; None if the image has a single channel.
    scene : int, str or None
        Number or name; None for all, each of which is an output.
    time : int, str or None
        Number, or `z` for a stack whose planes are stored as time points; None for all, as time points of the output.
    voxel_size_um : tuple of float or None, or None
        Z, Y, X, in place of what the file says; None for an axis whose size the file gives.
    """

    path: Path
    channel: int | str | None = None
    scene: int | str | None = None
    time: int | str | None = None
    voxel_size_um: Sizes | None = None

    def __post_init__(self) -> None:
        sizes = self.voxel_size_um
        if sizes is not None and not (
            len(sizes) == 3 and all(0 < size < math.inf for size in sizes if size is not None)
        ):
            of = f" of {self.path}" if self.path.name else ""
            raise InputError(f"The voxel size{of} is {sizes} but should be three lengths in um (Z, Y, X).")


def find_requests(images: Sequence[str | Path], like: ImageRequest | None = None) -> list[ImageRequest]:
    """Return the images that a user names, in order and each once.

    Parameters
    ----------
    images : sequence of path
        Files, OME-Zarr folders, patterns (`plates/*.czi`), folders of images, and tables (`.csv`) as
        `ssp_model.collection.samples` describes them: only the column `image` is needed; `signal` (or `channel`),
        `scene`, `time` and the voxel sizes are used where they are given.
    like : ImageRequest, optional
        What holds for all images and for the empty cells of tables.

    Raises
    ------
    InputError
        A pattern or folder has no image, or a table can't be read. A file that does not exist is no error here.
    """
    like = like or ImageRequest(Path())
    found: dict[ImageRequest, None] = {}
    for image in images:
        if not str(image).strip():
            raise InputError("The name of an image is empty; give a file, a pattern, a folder or a table (.csv).")
        path = Path(image)
        if path.suffix.lower() == ".csv" and path.is_file():
            requests = _of_table(path, like)
        else:
            requests = (replace(like, path=match) for match in find_images([path]))
        found |= dict.fromkeys(requests)
    return list(found)


def batches(images: Sequence[str], channel: int | str | None, images_per_batch: int) -> list[list[dict[str, Any]]]:
    """Return the images that a user names, in batches of so many, as plain values.

    Parameters
    ----------
    images, channel :
        As for `find_requests`.
    images_per_batch : int

    Returns
    -------
    list of list of dict
        The fields of `ImageRequest`, and as `modified` when the file was changed, so that the values differ when the
        image does.

    Raises
    ------
    InputError
        As for `find_requests`.
    """
    found = find_requests(images, ImageRequest(Path(), channel))
    plain = [vars(request) | {"path": str(request.path), "modified": _modified(request.path)} for request in found]
    return [plain[start : start + images_per_batch] for start in range(0, len(plain), images_per_batch)]


def from_plain(batch: Sequence[dict[str, Any]]) -> list[ImageRequest]:
    """Return the images of a batch of `batches`."""
    fields = [{key: value for key, value in values.items() if key != "modified"} for values in batch]
    return [ImageRequest(**values | {"path": Path(values["path"])}) for values in fields]


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _of_table(table: Path, like: ImageRequest) -> Iterator[ImageRequest]:
    # commands without a table are spared the import of pandas
    from ssp_model.collection.samples import VOXEL_SIZE_UM, read_rows

    rows = read_rows(table, ["image"]).rename(columns=str.lower)
    for line, row in zip(rows.index, rows.to_dict("records"), strict=True):
        values = {
            name: value
            for name, column in (("channel", "signal"), ("channel", "channel"), ("scene", "scene"), ("time", "time"))
            if (value := row.get(column)) not in (None, "")
        }
        sizes = [row.get(column, math.nan) for column in VOXEL_SIZE_UM]
        known = tuple(None if math.isnan(size) else size for size in sizes)
        if any(known):
            values["voxel_size_um"] = known
        for image in find_images_of_cell(row["image"], table.parent):
            if is_address(image):
                raise InputError(f"{table} line {line}: {image} is not on this machine; download it and give its path.")
            yield replace(like, path=Path(image), **values)
