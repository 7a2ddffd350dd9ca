"""Models from elsewhere: an address in, a checked file of this machine out.

A model that is fetched stays in the user's cache folder:

- Its folder bears its checksum; without a checksum (S3 only), a digest of the object's address and version. So a model
  that changed is another one in the cache.
- The file appears only when it is whole. At each use its checksum is computed. A damaged file is fetched again.
- One process at a time fetches a model. Others wait for it.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ssp_model.errors import InputError
from ssp_model.files import sha256_of
from ssp_model.log import logger
from ssp_model.models.address import ModelAddress, parse_address
from ssp_model.models.model_file import read_info
from ssp_model.models.s3 import ObjectVersion, download_object, find_version
from ssp_model.scratch import scratch_folder

MODEL_FILE = "model.safetensors"
CHECKSUM_FILE = "sha256"


def cache_folder() -> Path:
    """Return the folder of fetched models: `ssp-model/models` in `XDG_CACHE_HOME` or `~/.cache`.

    Raises
    ------
    InputError
        There is no home folder.
    """
    import platformdirs

    folder = platformdirs.user_cache_path("ssp-model") / "models"
    if not folder.is_absolute():
        raise InputError("There is no home folder to keep models in; set XDG_CACHE_HOME to the path of a folder.")
    return folder


def local_model(address: str | Path) -> Path:
    """Return the file of a model. Fetch it first if it is not on this machine.

    Parameters
    ----------
    address : str or path
        A path, also with `~`; `https://` or `http://` with the checksum, as in
        `https://host/model.safetensors#sha256=9f86...`; or `s3://`, with or without a checksum.

    Returns
    -------
    path
        The file of a path, which is not opened here; or the copy in the cache, whose checksum is right.

    Raises
    ------
    InputError
        The address can't be understood, the model can't be fetched, has another checksum, or is no model file of this
        project; or the cache can't be written.
    """
    source = parse_address(address)
    if not source.scheme:
        return _at_home(source.place)
    path = _cached(source)
    _check_model(path, source)
    return path


def fetch_model(address: str, target: Path) -> None:
    """Fetch the model of an address with a checksum to the path `target`, without the cache.

    Raises
    ------
    InputError
        As for `local_model`.
    """
    source = parse_address(address)
    _download(source, None, target)
    _check_model(target, source)


def _at_home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user: a file of this name may be there
        return Path(path)


def _check_model(path: Path, source: ModelAddress) -> None:
    try:
        read_info(path)
    except InputError as error:
        raise InputError(f"{source.text}: {error}") from None


def _cached(source: ModelAddress) -> Path:
    """Return the copy of a model in the cache, whole and checked."""
    version = None if source.sha256 else find_version(source.place)
    folder = cache_folder() / (source.sha256 or _digest(source.place, version))
    path = folder / MODEL_FILE
    try:
        if _is_intact(folder, source.sha256):
            return path
        with _sole_fetch(folder) as work:
            # another process may have fetched it meanwhile
            if _is_intact(folder, source.sha256):
                return path
            if path.exists():
                logger.warning("%s was damaged or changed since it was fetched; it is fetched again", path)
            _download(source, version, work / MODEL_FILE)
            if not source.sha256:
                (folder / CHECKSUM_FILE).write_text(sha256_of(work / MODEL_FILE))
            (work / MODEL_FILE).replace(path)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder} can't be used ({error.strerror}), so the model can't be kept there; free some "
            "space, or set XDG_CACHE_HOME to a folder that you may write to."
        ) from None
    return path


def _digest(place: str, version: ObjectVersion | None) -> str:
    """Return a name for the folder of an object in S3 as it is now."""
    return "s3-" + hashlib.sha256(repr((place, version)).encode()).hexdigest()


def _is_intact(folder: Path, sha256: str | None) -> bool:
    """Whether the cache holds a model with the checksum that was given, or that was noted when it was fetched."""
    path, note = folder / MODEL_FILE, folder / CHECKSUM_FILE
    if not path.is_file():
        return False
    wanted = sha256 or (note.read_text() if note.is_file() else None)
    return sha256_of(path) == wanted


def _download(source: ModelAddress, version: ObjectVersion | None, target: Path) -> None:
    """Write the file of an address to the path `target`, whole and checked, or not at all."""
    logger.info("fetching %s to %s", source.place, target)
    # a model that is here already needs no time for this import
    from ssp_model.fetch import fetch

    if source.scheme == "s3":
        download_object(source.place, version or find_version(source.place), target, sha256=source.sha256)
    else:
        fetch(source.place, target, sha256=source.sha256)


@contextmanager
def _sole_fetch(folder: Path) -> Iterator[Path]:
    """Let one process at a time fetch into a folder; yield the folder to fetch to.

    Where files can't be locked, each process has a folder of its own within it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file, ExitStack() as stack:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process fetches this model; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            folder = stack.enter_context(scratch_folder("fetch", folder))
        yield folder
