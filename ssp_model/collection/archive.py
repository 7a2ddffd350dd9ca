"""Archives of raw images (`.tar.gz`): unpack the images one by one, and refuse unsafe archives."""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NoReturn

from ssp_model.collection.lists import member_name
from ssp_model.errors import InputError


def unpack(archive: Path, folder: Path, names: Container[str]) -> Iterator[tuple[str, Path]]:
    """Unpack the wanted images of an archive into a folder, one by one, in the archive's order.

    Parameters
    ----------
    names
        Names of the wanted images, as `member_name` gives them.

    Yields
    ------
    tuple of str and Path
        The image's name, and the unpacked file.

    Raises
    ------
    InputError
        The archive is truncated or not a `.tar.gz`, or one of its members would be written outside the folder.
    """
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for number, member in enumerate(tar):
                    member = _checked(member, archive, folder)
                    name = member_name(member.name)
                    if name in names and member.isfile():
                        content = tar.extractfile(member)
                        assert content is not None
                        # the number keeps members of the same name apart; the suffix tells the image's format
                        path = folder / f"{number:06d}-{Path(name).name}"
                        with path.open("wb") as file:
                            shutil.copyfileobj(content, file, 2**20)
                        yield name, path
            # gzip checks the whole stream when it reaches the end
            while stream.read(2**20):
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        size = archive.stat().st_size
        raise InputError(
            f"{archive} ({size:,} bytes) is truncated or not a .tar.gz ({error}); delete it and download it again."
        ) from None


def _checked(member: tarfile.TarInfo, archive: Path, folder: Path) -> tarfile.TarInfo:
    """Return a member that is safe to unpack; refuse the archive for any that is not, wanted or not."""
    if ".." in Path(member.name).parts:
        _refuse(archive, f"its member {member.name} leads out of the folder")
    # Python before 3.11.4 (Debian 12) has no filter. No file is written under the member's own name in any case
    if not hasattr(tarfile, "data_filter"):
        return member
    try:
        return tarfile.data_filter(member, str(folder))
    except tarfile.FilterError as error:
        _refuse(archive, str(error))


def _refuse(archive: Path, reason: str) -> NoReturn:
    raise InputError(
        f"{archive} is not safe to unpack: {reason}. No image of it was used; get it from a source you trust."
    ) from None
