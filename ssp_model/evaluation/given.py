"""The files that a config gives: checked before anything runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssp_model.config.schema import Config
from ssp_model.errors import InputError
from ssp_model.models.address import parse_address


def check_given_files(config: Config) -> None:
    """Check `evaluate.model` and `train.extend` (model files), `evaluate.test_set` (a dataset) and `about`.

    Of addresses only the form is checked, so that a run can be planned without a network.

    Raises
    ------
    InputError
        A file does not exist, or holds something else; or an address can't be used.
    """
    models = {"evaluate.model": config.evaluate.model, "train.extend": config.train.extend}
    for key, address in models.items():
        with _named(key):
            if address and not parse_address(address).scheme:
                _check_model(address)
    test_set = config.evaluate.test_set
    with _named("evaluate.test_set"):
        if test_set and not test_set.startswith("s3://"):
            _check_dataset(test_set)
    with _named("about"):
        # an object in a bucket is read by the jobs
        if config.about and not config.about.startswith("s3://"):
            _check_about(config.about, config)


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Name the key in an error."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{key}: {error}") from None


def _check_is_file(path: str) -> None:
    if "://" in path:
        raise InputError(f"{path} is an address, and only a path or s3:// is taken here; download the file first.")
    if not Path(path).is_file():
        raise InputError(f"there is no file {Path(path).absolute()}; correct the path.")


# These imports take seconds. Most configs give no file.


def _check_model(path: str) -> None:
    _check_is_file(path)
    from ssp_model.models.model_file import read_info

    read_info(path)


def _check_dataset(path: str) -> None:
    _check_is_file(path)
    from ssp_model.data.dataset import Dataset

    with Dataset(path):
        pass


def _check_about(path: str, config: Config) -> None:
    _check_is_file(path)
    from ssp_model.models.card import check_structures, read_about

    about = read_about(path)
    # other structures are known when their table or their model is read
    if config.structures and not (config.evaluate.model or config.train.extend):
        check_structures(about, tuple(config.tasks), path)
