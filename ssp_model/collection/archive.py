"""Archives of raw images: their members, one by one, with nothing unsafe let through."""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ssp_model.collection.lists import member_name
from ssp_model.errors import InputError

if TYPE_CHECKING:
    pass


def _unsafe(archive: Path, why: str) -> str:
    return f"{archive} is not safe to unpack: {why}. Nothing of it was used; get it from a source you trust."


def unpack(archive: Path, folder: Path, names: Container[str]) -> Iterator[tuple[str, Path]]:
    """Unpack the members wanted, one by one, as they are found; yields name and file.

    Raises
    ------
    InputError
        The archive is truncated or no `.tar.gz`, or a member would be written outside its folder.
    """
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for number, member in enumerate(tar):
                    # every member is checked, wanted or not: an archive with an unsafe one is not to be trusted.
                    # Its content is read and written under another name; Python before 3.11.4 (Debian 12) has no filter
                    if ".." in Path(member.name).parts:
                        raise InputError(_unsafe(archive, f"its member {member.name} leads out of the folder"))
                    if hasattr(tarfile, "data_filter"):
                        member = tarfile.data_filter(member, str(folder))
                    name = member_name(member.name)
                    if name in names and member.isfile():
                        content = tar.extractfile(member)
                        assert content is not None
                        # the number keeps members of the same name apart, the suffix tells the format
                        path = folder / f"{number:06d}-{Path(name).name}"
                        with path.open("wb") as file:
                            shutil.copyfileobj(content, file, 2**20)
                        yield name, path
            # to the end: the checksum of the whole stands there
            while stream.read(2**20):
                pass
    except getattr(tarfile, "FilterError", ()) as error:
        raise InputError(_unsafe(archive, str(error))) from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        size = archive.stat().st_size
        raise InputError(
            f"{archive} ({size:,} bytes) is truncated or not a .tar.gz ({error}); delete it and download it again."
        ) from None
