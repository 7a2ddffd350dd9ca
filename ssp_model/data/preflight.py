"""Preflight of an own table of samples with the settings of a config, and what a run does with its result."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from ssp_model.collection.check_image import ERROR
from ssp_model.collection.preflight import Plan, Preflight, grouped, preflight
from ssp_model.collection.samples import read_samples
from ssp_model.collection.tabulate import structures_of
from ssp_model.config.schema import PreprocessConfig, SplitConfig
from ssp_model.data.preprocess import Resizing
from ssp_model.data.splits import split_samples
from ssp_model.errors import InputError

logger = logging.getLogger(__name__)

MOST_TOLD = 20
"""Problems that are told, after those that images share are told once; all are in the table."""


def preflight_samples(
    table: str | Path,
    *,
    structures: Sequence[str] | None,
    preprocess: PreprocessConfig,
    split: SplitConfig,
    results: str | Path = "results",
    num_workers: int = 1,
    pixels: bool = False,
) -> Preflight:
    """Check a table of samples and all its images.

    Parameters
    ----------
    table : path
        Table of samples.
    structures : sequence of str, or None
        Structures to train on; None for all of the table.
    preprocess : PreprocessConfig
    split : SplitConfig
    results : path
        Folder that volumes and datasets will be written to.
    num_workers : int
        Processes that read images.
    pixels : bool
        Also read the intensities of the channels that are used.

    Raises
    ------
    InputError
        The table itself can't be read.
    """
    samples = read_samples(table)
    plan = Plan(
        factors=Resizing(preprocess.scale, preprocess.voxel_size_um).factors,
        split=partial(split_samples, config=split),
        structures=structures_of(samples, structures),
        results=Path(results),
        skips_bad_images=preprocess.on_bad_image == "skip",
    )
    return preflight(samples, plan, num_workers=num_workers, pixels=pixels)


def check_preflight(problems: str | Path, page: str | Path) -> None:
    """Tell the problems that a preflight found.

    Parameters
    ----------
    problems : path
        The table of problems.
    page : path
        The page that shows all, for the text.

    Raises
    ------
    InputError
        There is an error.
    """
    found = grouped(pd.read_csv(problems, keep_default_na=False))
    is_error = found.severity == ERROR
    for problem in found.problem[~is_error]:
        logger.warning("%s", problem)
    errors = list(dict.fromkeys(found.problem[is_error]))
    if errors:
        more = [f"and {len(errors) - MOST_TOLD} more"] if len(errors) > MOST_TOLD else []
        text = "\n  ".join([*errors[:MOST_TOLD], *more])
        raise InputError(
            f"The table of samples or its images can't be used as they are:\n  {text}\nAll problems are in {problems} "
            f"and {page}. Mend them and give the same command again with --forcerun preflight_samples, or leave such "
            "images out (preprocess.on_bad_image: skip)."
        )
