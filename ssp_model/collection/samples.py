"""The table of samples: a CSV file with one row for each sample, which is a signal with one target.

| column | content |
|---|---|
| `image` | path, pattern (`plates/*.czi`) or address of the image; paths start at the table's own folder |
| `structure` | name of the structure in the target |
| `signal`, `target` | channel: its number, from 0, or its name |
| `scene` | scene: its number, from 0, or its name; empty for a file with one scene |
| `time` | time point: its number, from 0; `z` for a z-stack stored as time points; empty for a file with one |
| `split` | `train`, `val` or `test`; without this column the splits are drawn |
| `group` | plate, well, donor, ...: samples of one group are never in two splits |
| `voxel_size_z_um`, `voxel_size_y_um`, `voxel_size_x_um` | voxel size, where the file does not give it or is wrong |

From `scene` on, columns are optional; any other column is kept as it is. Case, blanks and hyphens in names do not
matter. Voxel sizes have a column for each axis, as a spreadsheet takes numbers.
The image lists of the Allen collection are the same table under the older names of `ALIASES`, for one structure.
"""

import difflib
import logging
import math
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from ssp_model.collection.csv_table import read_csv
from ssp_model.collection.image_paths import find_images, two_names
from ssp_model.config.schema import LONGEST_NAME, Name
from ssp_model.errors import InputError
from ssp_model.images.reader import TIME_IS_Z

logger = logging.getLogger(__name__)

COLUMNS = ("image", "structure", "signal", "target")
PLACE = ("image", "scene", "time")
"""Columns that together say which volume a sample is from."""

VOXEL_SIZE_UM = ("voxel_size_z_um", "voxel_size_y_um", "voxel_size_x_um")
OPTIONAL = ("scene", "time", "split", "group", *VOXEL_SIZE_UM)

ALIASES = {"path_czi": "image", "channel_signal": "signal", "channel_target": "target"}
"""Older names of columns, as in the image lists of the Allen collection."""

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

_NAME = TypeAdapter(Name)

_MISSING = {"", "NA", "N/A", "#N/A", "NaN", "nan"}
"""Cells that are empty, as people, R, Excel and pandas write them."""


def read_samples(path: str | Path, structure: str | None = None, *, folder: str | Path | None = None) -> pd.DataFrame:
    """Read a table of samples, check it, and find its images.

    Parameters
    ----------
    path : path
        CSV file.
    structure : str, optional
        Structure of all samples, for the image list of an archive: a table without the column `structure`, whose
        images are in the archive. They are not looked for.
    folder : path, optional
        Folder from which paths of images start; default: the folder of the table.

    Returns
    -------
    DataFrame
        One row for each sample in the table's order, with the columns of the table under the names of this module,
        and `scene` and `time` in any case. `image` is an absolute path or an address (the text of the list, with
        forward slashes, if `structure` is given). Channels and scenes are int (number) or str (name), times int or `z`,
        voxel sizes float; an empty optional cell is None, an empty voxel size NaN. `split` and `group` are there only
        if they are given. A file that does not exist is no error here.

    Raises
    ------
    InputError
        A column is missing, there is no row, a cell is empty or wrong, or two rows contradict each other.
    """
    required = [column for column in COLUMNS if structure is None or column != "structure"]
    samples = read_rows(path, required)
    if structure is None:
        samples = _with_images_found(samples, path, Path(path).parent if folder is None else folder)
    else:
        samples = _of_one_structure(samples, structure, path)
    for column in PLACE:
        if column not in samples:
            samples[column] = pd.Series([None] * len(samples), index=samples.index, dtype=object)
    check_samples(samples, path)
    return samples.reset_index(drop=True)


def read_rows(path: str | Path, required: Sequence[str]) -> pd.DataFrame:
    """Read the rows of a table of samples, each cell checked on its own.

    Returns
    -------
    DataFrame
        As `read_samples` returns it, but `image` is the table's text, columns that the table lacks are not there, and
        the index is the number of the row's line.

    Raises
    ------
    InputError
        A required column is missing, there is no row, or a cell is empty or wrong.
    """
    table = read_csv(path)
    names = _known_columns(list(table.columns), required, path)
    if table.empty:
        raise InputError(f"{path} lists no image; add a row for each sample.")
    images = table[names["image"]]
    for column, name in names.items():
        values = [
            _value(column, text, where=f"{path} line {line} has", name=name, image=image)
            for line, text, image in zip(table.index, table[name], images, strict=True)
        ]
        table[name] = pd.Series(values, index=table.index, dtype=float if column in VOXEL_SIZE_UM else object)
    table = table.rename(columns={name: column for column, name in names.items()})
    return _without_empty_columns(table, path)


def check_samples(samples: pd.DataFrame, path: str | Path) -> None:
    """Refuse rows that contradict each other.

    Parameters
    ----------
    samples : DataFrame
        Rows as `read_rows` returns them; the index is the number of the line.
    path : path
        The table, for the text of the error.

    Raises
    ------
    InputError
        A sample is given twice, an image has two signals or voxel sizes, an image is given with and without a scene or
        time point, or the names of two structures differ only in case.
    """
    place = [column for column in PLACE if column in samples]
    for line, image, channel, target in _cells(samples, ["image", "signal", "target"]):
        if channel == target:
            raise InputError(
                f"{path} line {line} gives {image} the channel {channel} as signal and as target; they must differ."
            )
    _check_samples_differ(samples, [column for column in (*place, "structure") if column in samples], path)
    for column in ("signal", *VOXEL_SIZE_UM):
        if column in samples:
            _check_one_value(samples, column, place, path)
    for column in place[1:]:
        empty = samples[column].isna()
        for image in sorted(set(samples.image[empty]) & set(samples.image[~empty])):
            raise InputError(
                f"{path} gives a {column} in some rows of {image} only; give it in all or in none of them."
            )
    if "structure" in samples:
        _check_case(samples.structure.unique(), path)
        _warn_of_shared_targets(samples, [*place, "target"], path)


def _known_columns(names: list[str], required: Sequence[str], path: str | Path) -> dict[str, str]:
    """Return what the table calls the columns that this module knows."""
    plain = {name: re.sub(r"[\s-]+", "_", name.casefold()) for name in names}
    known: dict[str, str] = {}
    for name in names:
        column = ALIASES.get(plain[name], plain[name])
        if column in known:
            raise InputError(f"{path} has two columns for the {column}, {known[column]} and {name}; remove one.")
        if column in COLUMNS or column in OPTIONAL:
            known[column] = name
        elif alike := difflib.get_close_matches(column, OPTIONAL, n=1, cutoff=0.8):
            logger.warning("%s: the column %s is not used; if it is meant, call it %s", path, name, alike[0])
    older = {column: alias for alias, column in ALIASES.items()} if ALIASES.keys() & set(plain.values()) else {}
    missing = [older.get(column, column) for column in required if column not in known]
    if missing:
        raise InputError(f"{path} has no column {' or '.join(missing)} (its columns: {', '.join(names)}); add it.")
    return known


def _value(column: str, text: str, *, where: str, name: str, image: str) -> object:
    """Return what a cell means; None if it is empty."""
    if text in _MISSING:
        if column in COLUMNS:
            raise InputError(f"{where} no {name}{f' for {image}' if column != 'image' else ''}; fill in the cell.")
        return None
    try:
        return _READ[column](text)
    except ValueError as error:
        raise InputError(f"{where} {name} {text!r}{f' for {image}' if column != 'image' else ''}; {error}.") from None


def _line(text: str) -> str:
    if "\n" in text:
        raise ValueError("it spans several lines: check the quotes")
    return text


def _structure(text: str) -> str:
    # Snakemake takes such a name for an endless recursion
    if re.search(r"(.+?)\1{19}$", text):
        raise ValueError("a structure's name can't end in one part that is repeated 20 times or more")
    try:
        _NAME.validate_python(text)
    except ValidationError:
        raise ValueError(
            "a structure's name is of letters, digits, - and _, starts with a letter or digit, and is not longer than "
            f"{LONGEST_NAME} characters"
        ) from None
    if text == "signal":
        raise ValueError("no structure can be called signal: that is the transmitted light")
    return text


def _number_or_name(text: str) -> int | str:
    # spreadsheets and R may write a whole number as 1.0, or 1,0 where the decimal mark is a comma
    if re.fullmatch(r"(0|[1-9]\d*)([.,]0*)?", text):
        return int(re.split("[.,]", text)[0])
    return _line(text)


def _channel(text: str) -> int | str:
    if re.fullmatch(r"-\d+([.,]\d*)?|\d*[.,]\d+", text) and isinstance(_number_or_name(text), str):
        raise ValueError("write a whole number from 0 up, or the channel's name")
    return _number_or_name(text)


def _time(text: str) -> int | str:
    time = _number_or_name(text.lower())
    if isinstance(time, str) and time != TIME_IS_Z:
        raise ValueError(f"write a whole number from 0 up, or {TIME_IS_Z} if the time points are the planes of a stack")
    return time


def _split(text: str) -> str:
    if text.lower() not in SPLIT_NAMES:
        raise ValueError("write train, val or test")
    return SPLIT_NAMES[text.lower()]


def _voxel_size_um(text: str) -> float:
    wanted = "write a number of um above 0"
    try:
        size = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(wanted) from None
    if not 0 < size < math.inf:
        raise ValueError(wanted)
    return size


_READ: dict[str, Callable[[str], object]] = {
    "image": _line,
    "structure": _structure,
    "signal": _channel,
    "target": _channel,
    "scene": _number_or_name,
    "time": _time,
    "split": _split,
    "group": _line,
    **dict.fromkeys(VOXEL_SIZE_UM, _voxel_size_um),
}
"""By column: what turns a cell's text into its value; a ValueError says what is wanted."""


def _without_empty_columns(samples: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Drop `split` and `group` where no row has them; refuse them where only some rows do."""
    for column in ("split", "group"):
        if column not in samples:
            continue
        empty = samples[column].isna()
        if empty.all():
            samples = samples.drop(columns=column)
        elif empty.any():
            line, image = samples.index[empty][0], samples.image[empty].iloc[0]
            raise InputError(
                f"{path} has no {column} in line {line} ({image}), but in other lines; give it in all rows or in none."
            )
    return samples


def _with_images_found(samples: pd.DataFrame, path: str | Path, folder: str | Path) -> pd.DataFrame:
    """Return the samples with a row for each image that a pattern matches, and refuse two names of one file."""
    found: dict[str, list[str]] = {}
    for line, image in samples.image.items():
        try:
            found[image] = found.get(image) or find_images(image, folder)
        except InputError as error:
            raise InputError(f"{path} line {line}: {error}") from None
    samples = samples.assign(image=samples.image.map(found)).explode("image")
    for first, second in two_names(samples.image):
        raise InputError(f"{path} names one file twice, as {first} and {second} (a link); use one of the names.")
    return samples


def _of_one_structure(samples: pd.DataFrame, structure: str, path: str | Path) -> pd.DataFrame:
    """Return the samples of an image list, with its structure and its images as named in an archive."""
    samples = samples.assign(image=samples.image.str.replace("\\", "/"))
    if "structure" not in samples:
        return samples.assign(structure=structure)
    for line, other in _cells(samples, ["structure"]):
        if other != structure:
            raise InputError(f"{path} line {line} has structure {other}, but this is the image list of {structure}.")
    return samples


def _cells(samples: pd.DataFrame, columns: Sequence[str]) -> Iterable[tuple]:
    """Yield the line of each row and its cells in some columns."""
    return zip(samples.index, *(samples[column] for column in columns), strict=True)


def _check_samples_differ(samples: pd.DataFrame, columns: Sequence[str], path: str | Path) -> None:
    first_line: dict[Hashable, int] = {}
    for line, *cells in _cells(samples, columns):
        first = first_line.setdefault(tuple(cells), line)
        if first != line:
            raise InputError(
                f"{path} lists {_text(columns, cells)} twice, in lines {first} and {line}; keep one of the rows."
            )


def _check_one_value(samples: pd.DataFrame, column: str, place: Sequence[str], path: str | Path) -> None:
    first_value: dict[Hashable, tuple[int, object]] = {}
    for line, cell, *cells in _cells(samples, [column, *place]):
        value = "nothing" if pd.isna(cell) else cell
        first_line, first = first_value.setdefault(tuple(cells), (line, value))
        if first != value:
            raise InputError(
                f"{path} gives {_text(place, cells)} two values of {column}, {first} (line {first_line}) and {value} "
                f"(line {line}); correct one of them."
            )


def _check_case(structures: Iterable[str], path: str | Path) -> None:
    """Refuse names that are one folder on Windows and macOS, and probably one structure."""
    first_form: dict[str, str] = {}
    for structure in structures:
        first = first_form.setdefault(structure.casefold(), structure)
        if first != structure:
            raise InputError(f"{path} has the structures {first} and {structure}; write the name in one way.")


def _warn_of_shared_targets(samples: pd.DataFrame, columns: Sequence[str], path: str | Path) -> None:
    first_structure: dict[Hashable, str] = {}
    for line, structure, *cells in _cells(samples, ["structure", *columns]):
        first = first_structure.setdefault(tuple(cells), structure)
        if first != structure:
            text = _text(columns, cells)
            logger.warning("%s line %s: %s is the target of both %s and %s", path, line, text, first, structure)


def _text(columns: Sequence[str], cells: Sequence[object]) -> str:
    """Return what to call a sample: its image, and what else tells it apart."""
    image, *others = cells
    return " ".join([str(image), *(f"{c} {v}" for c, v in zip(columns[1:], others, strict=True) if v is not None)])
