"""Image lists: the images of a structure, with their signal and target channels.

A list is a CSV file with the columns `path_czi`, `channel_signal` and `channel_target`. The first channel is 0.
`path_czi` reads `data/{structure}/{file}`; its last two parts are the image's name in the structure's archive.
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from ssp_model.errors import InputError

COLUMNS = ("path_czi", "channel_signal", "channel_target")


def read_list(path: str | Path) -> pd.DataFrame:
    """Read an image list: all its rows and columns, in their order.

    Raises
    ------
    InputError
        The file is not a CSV, a column is missing, no image is listed, an image is listed twice, or a channel is not
        a whole number from 0 up.
    """
    try:
        images = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not an image list (CSV): {error}. Correct the file or get it again.") from None
    missing = [column for column in COLUMNS if column not in images]
    if missing:
        found = ", ".join(map(str, images.columns))
        raise InputError(f"{path} has no column {' or '.join(missing)} (its columns: {found}); add it.")
    if images.empty:
        raise InputError(f"{path} lists no image; add a row for each image.")
    doubled = images.path_czi[images.path_czi.duplicated()]
    if len(doubled):
        raise InputError(f"{path} lists {doubled.iloc[0]} twice; keep one row for each image.")
    for column in COLUMNS[1:]:
        channel = pd.to_numeric(images[column], errors="coerce")
        wrong = images[channel.isna() | (channel < 0) | (channel % 1 != 0)]
        if len(wrong):
            value, image = wrong[column].iloc[0], wrong.path_czi.iloc[0]
            raise InputError(f"{path} has {column} {value!r} for {image}; write a whole number from 0 up.")
    return images


def member_name(path_czi: str) -> str:
    """Return an image's name in its archive: `tom20/a.czi` for `data/tom20/a.czi`."""
    return str(PurePosixPath(*PurePosixPath(path_czi).parts[-2:]))
