"""Image lists of archives: a table of samples of one structure, under the older names of its columns.

A list is a CSV file with the columns `path_czi`, `channel_signal` and `channel_target`. The first channel is 0.
`path_czi` reads `data/{structure}/{file}`; its last two parts are the image's name in the structure's archive.
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from ssp_model.collection.samples import ALIASES, check_samples, read_rows
from ssp_model.errors import InputError


def read_list(path: str | Path) -> pd.DataFrame:
    """Read an image list: all its rows and columns, in their order, under the older names.

    Raises
    ------
    InputError
        The file is not a CSV, a column is missing, no image is listed, an image is listed twice, a channel is not
        a whole number from 0 up, or the signal is the target.
    """
    images = read_rows(path, list(ALIASES.values()))
    images["image"] = images.image.str.replace("\\", "/")
    for column in ("signal", "target"):
        for line, channel in images[column].items():
            if isinstance(channel, str):
                raise InputError(
                    f"{path} line {line} has channel_{column} {channel!r}; write a whole number from 0 up."
                )
    check_samples(images, path)
    return images.rename(columns={column: alias for alias, column in ALIASES.items()}).reset_index(drop=True)


def check_list(path: str | Path, address: str) -> None:
    """Check an image list that was just fetched, so that a wrong one is not kept.

    Parameters
    ----------
    path : path
        Where it was fetched to.
    address : str
        Where it was fetched from, for the errors.

    Raises
    ------
    InputError
        As for `read_list`, such as for a page that asks to log in.
    """
    try:
        read_list(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), address)) from None


def member_name(path_czi: str) -> str:
    """Return an image's name in its archive: `tom20/a.czi` for `data/tom20/a.czi`."""
    return str(PurePosixPath(*PurePosixPath(path_czi).parts[-2:]))
