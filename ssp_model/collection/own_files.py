"""Image files of an own table of samples, from where they lie: used in place, or fetched from their address."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ssp_model.collection.archive import RawFile
from ssp_model.errors import InputError
from ssp_model.fetch import fetch


def gather(images: Collection[str], folder: Path, stored: Mapping[str, str | Path]) -> Iterator[RawFile]:
    """Yield the file of each image, one by one.

    Parameters
    ----------
    images : collection of str
        Paths and addresses.
    folder : Path
        Where to fetch files to.
    stored : mapping
        Files of addresses that were fetched before.

    Yields
    ------
    RawFile
        Each image once. One that can't be got has a problem in place of a file.
    """
    for number, image in enumerate(images):
        if image in stored:
            yield RawFile(image, Path(stored[image]))
        elif "://" not in image:
            path = Path(image)
            problem = "" if path.exists() else f"{image} does not exist; check its path in the table of samples."
            yield RawFile(image, path if path.exists() else None, problem=problem)
        else:
            path = folder / f"{number:06d}" / PurePosixPath(unquote(urlsplit(image).path)).name
            try:
                fetch(image, path)
            except InputError as error:
                yield RawFile(image, None, problem=str(error))
            else:
                yield RawFile(image, path, is_copy=True)
