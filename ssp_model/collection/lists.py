"""Image lists: which images a structure has, and which of their channels is what.

A list is a CSV file with the columns `path_czi`, `channel_signal` and `channel_target`; channels count from 0.
`path_czi` reads `data/{structure}/{file}`: an image is found in its structure's archive by its last two parts.
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from ssp_model.errors import InputError

COLUMNS = ("path_czi", "channel_signal", "channel_target")


def read_list(path: str | Path) -> pd.DataFrame:
    """Read an image list, all its columns, in its order.

    Raises
    ------
    InputError
        A column is missing, the list is empty or names an image twice, or a channel is not a number from 0 up.
    """
    try:
        images = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not an image list (CSV): {error}.") from None
    missing = [column for column in COLUMNS if column not in images]
    if missing:
        found = ", ".join(map(str, images.columns))
        raise InputError(f"{path} has no column {' or '.join(missing)} (found: {found}); an image list needs it.")
    if images.empty:
        raise InputError(f"{path} lists no image; add rows.")
    doubled = images.path_czi[images.path_czi.duplicated()]
    if len(doubled):
        raise InputError(f"{path} lists {doubled.iloc[0]} twice; keep one row an image.")
    for column in COLUMNS[1:]:
        channel = pd.to_numeric(images[column], errors="coerce")
        wrong = images[channel.isna() | (channel < 0) | (channel % 1 != 0)]
        if len(wrong):
            value, image = wrong[column].iloc[0], wrong.path_czi.iloc[0]
            raise InputError(f"{path} gives {column} {value!r} for {image}; channels are whole numbers from 0 up.")
    return images


def member_name(path_czi: str) -> str:
    """An image's name in its archive: `data/tom20/a.czi` is `tom20/a.czi`."""
    return str(PurePosixPath(*PurePosixPath(path_czi).parts[-2:]))
