"""Images that can't be used: what a user is told of them. It changes no result."""

import logging
from pathlib import Path

import pandas as pd

from ssp_model.errors import InputError

logger = logging.getLogger(__name__)

LEFT_OUT_COLUMNS = ["image", "scene", "time", "task", "channel", "reason"]


def check_left_out(left_out: str | Path, structure: str, on_bad_image: str, again: str) -> None:
    """Say which images can't be used.

    Parameters
    ----------
    left_out : path
        CSV file, as `convert_images` writes it.
    structure : str
    on_bad_image : str
        `stop` or `skip`.
    again : str
        What to add to the command to convert mended images again.

    Raises
    ------
    InputError
        There are such images and `on_bad_image` is `stop`; all are named.
    """
    table = pd.read_csv(left_out)
    if table.empty:
        return
    text = problem_text(table, structure)
    mend = f"run the same command again with {again}"
    if on_bad_image == "stop":
        raise InputError(
            f"{text}\nMend them or take them off the list, and {mend}\n"
            "Or set preprocess.on_bad_image to skip, to leave them out."
        )
    logger.warning("left out: %s\nTo use them after all, mend them, and %s", text, mend)


def problem_text(table: pd.DataFrame, structure: str) -> str:
    """Return a text that lists the images of a structure that can't be used, each with its reason."""
    count = len(table[["image", "scene", "time"]].drop_duplicates())
    images = "1 image" if count == 1 else f"{count} images"
    # a reason names its image, and may be that of several tasks
    tasks = table.groupby("reason", sort=False).task.agg(list)
    if all(structure not in names for names in tasks):
        use = f" for {', '.join(sorted(table.task.unique()))}"
        return "\n  ".join([f"{images} of {structure} can't be used{use}:", *tasks.index])
    reasons = [text if structure in names else f"{', '.join(names)}: {text}" for text, names in tasks.items()]
    return "\n  ".join([f"{images} of {structure} can't be used:", *reasons])
