"""What became of images that were to be predicted."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ssp_model.errors import InputError
from ssp_model.files import write_table

logger = logging.getLogger(__name__)

SHOWN = 10
"""Failed images that an error names."""


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes
    ----------
    image : str
    scene : str
        Its number, empty if the file could not be read.
    output : str
        The prediction, empty if there is none.
    status : str
        `done`, `skipped` or `failed`.
    problem : str
        Why it failed, in a sentence.
    distance : str
        How far the image is from the training images; from 1 on it is unlike them. Empty if it was not compared.
    warning : str
        What makes it unlike them, in a sentence; empty if it is like them.
    """

    image: str
    scene: str
    output: str
    status: Literal["done", "skipped", "failed"]
    problem: str = ""
    distance: str = ""
    warning: str = ""


def tell_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Log how many images were predicted, how many are unlike the training images, and why others failed."""
    statuses = [outcome.status for outcome in outcomes]
    logger.info("%s", ", ".join(f"{statuses.count(status)} {status}" for status in ("done", "skipped", "failed")))
    if unlike := sum(bool(outcome.warning) for outcome in outcomes):
        compared = sum(bool(outcome.distance) for outcome in outcomes)
        logger.warning("%d of %d images are unlike the training images", unlike, compared)
    for outcome in outcomes:
        if outcome.status == "failed":
            logger.error("failed: %s", outcome.problem)


def write_outcomes(outcomes: Sequence[Outcome], path: str | Path) -> None:
    """Write a table (CSV) with a row for each output, whose columns are the attributes of `Outcome`."""
    # the command is spared the import
    import pandas as pd

    write_table(pd.DataFrame([vars(outcome) for outcome in outcomes]), path)


def gather_outcomes(tables: Sequence[str | Path], path: str | Path) -> None:
    """Write the rows of several tables of `write_outcomes` to one.

    Raises
    ------
    InputError
        An image has failed. The text names the first ones.
    """
    import pandas as pd

    parts = [pd.read_csv(table, dtype=str, keep_default_na=False) for table in tables]
    rows = pd.concat(parts, ignore_index=True)
    failed = rows[rows.status == "failed"]
    if len(failed):
        of_tables = [str(table) for table, part in zip(tables, parts, strict=True) if "failed" in set(part.status)]
        more = f" ... and {len(failed) - SHOWN} more." if len(failed) > SHOWN else ""
        raise InputError(
            f"{len(failed)} of {len(rows)} predictions failed: {' '.join(failed.problem[:SHOWN])}{more} The others are "
            f"written. Mend the images and run again; jobs of images that did not change run again if you remove "
            f"{', '.join(of_tables[:SHOWN])}{' ...' if len(of_tables) > SHOWN else ''}."
        )
    write_table(rows, path)
