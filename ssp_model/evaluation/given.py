"""The files that a config gives: checked before anything runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ssp_model.config.schema import Config
from ssp_model.errors import InputError


def check_given_files(config: Config) -> None:
    """Check `evaluate.model` and `train.extend` (model files), `evaluate.test_set` (a dataset) and `about`.

    Objects in S3 are not opened.

    Raises
    ------
    InputError
        A file does not exist, or holds something else.
    """
    given: dict[str, tuple[str | None, Callable[[str], None]]] = {
        "evaluate.model": (config.evaluate.model, _check_model),
        "evaluate.test_set": (config.evaluate.test_set, _check_dataset),
        "train.extend": (config.train.extend, _check_model),
        "about": (config.about, partial(_check_about, config=config)),
    }
    for key, (address, check) in given.items():
        if address is None or address.startswith("s3://"):
            continue
        if not Path(address).is_file():
            raise InputError(f"{key}: there is no file {Path(address).absolute()}; correct the path.")
        try:
            check(address)
        except InputError as error:
            raise InputError(f"{key}: {error}") from None


# These imports take seconds. Most configs give no file.


def _check_model(path: str) -> None:
    from ssp_model.models.model_file import read_info

    read_info(path)


def _check_dataset(path: str) -> None:
    from ssp_model.data.dataset import Dataset

    with Dataset(path):
        pass


def _check_about(path: str, config: Config) -> None:
    from ssp_model.models.card import check_structures, read_about

    about = read_about(path)
    # other structures are known when their table or their model is read
    if config.structures and not (config.evaluate.model or config.train.extend):
        check_structures(about, tuple(config.tasks), path)
