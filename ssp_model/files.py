"""Write files whole or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 200
"""Bytes that a name may have; file systems allow 255 with all that is added to it."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    Files that a killed process left at the temporary path are removed first. Two processes must not write the same
    path at once.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # image writers choose the format by the suffix, so it stays last
    temporary = path.with_name(f".part.{path.name}")
    _remove(temporary)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_table(table: "pd.DataFrame", path: str | Path) -> None:
    """Write a table as a CSV file, without row numbers."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def own_file(path: str | Path) -> Path:
    """Return the file that a link of the workflow leads to, so that messages name the user's own file."""
    path = Path(path)
    return path.readlink() if path.is_symlink() else path


def short_name(name: str) -> str:
    """Return a name for files, with room for what is added to it; a long one is cut, and ends in a checksum."""
    content = os.fsencode(name)
    if len(content) <= LONGEST:
        return name
    return f"{content[:LONGEST].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:8]}"


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 checksum of a file, in hexadecimal; of a folder, that of its files' names and checksums."""
    path = Path(path)
    if path.is_dir():
        inner = sorted(file for file in path.rglob("*") if file.is_file())
        listed = "".join(f"{sha256_of(file)}  {file.relative_to(path).as_posix()}\n" for file in inner)
        return hashlib.sha256(listed.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_of(path: str | Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    path = Path(path)
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
