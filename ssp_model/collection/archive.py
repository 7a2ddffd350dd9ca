"""Archives of raw images: unpack the listed images one by one.

The archive of a structure takes tens of GB, and to list the names in a tar takes as long as to unpack it. So the images
whose names are in the archive exactly as listed are unpacked in one pass, as they come. A second pass is made only if
listed images are left, and other members can be matched with them, or links lead to their content.

`containers` knows what an archive is and what makes it safe, `names` which member a listed name means.
"""

import logging
import shutil
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from ssp_model.collection.containers import Member, damage_told, members
from ssp_model.collection.lists import member_name
from ssp_model.collection.names import all_missing_text, match, missing_texts
from ssp_model.errors import InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawFile:
    """A listed image: its file, or why there is none.

    Attributes
    ----------
    name : str
        The name it was asked for by.
    path : Path or None
        The file. Its name is that of the file in the archive.
    is_copy : bool
        Whether the file was unpacked, and may be deleted. If not, it is the user's own file in a folder.
    problem : str
        If there is no file, a sentence that says why.
    """

    name: str
    path: Path | None
    is_copy: bool = False
    problem: str = ""


def unpack(archive: Path, folder: Path, names: Collection[str]) -> Iterator[RawFile]:
    """Unpack the listed images of an archive, one by one, each into a folder of its own.

    Parameters
    ----------
    archive : Path
        A tar (also compressed), a zip, or a folder, whose files are used where they are.
    folder : Path
        Where to make the folders.
    names : collection of str
        Names of the images, as `member_name` gives them.

    Yields
    ------
    RawFile
        Each name once: first the images of the archive, then those that are not in it.

    Raises
    ------
    InputError
        The archive is truncated, damaged, unsafe or of another kind, holds a listed image twice or none of several, or
        an image is larger than the room in the folder. Some images may have been unpacked by then: use none of them.
    """
    unpacking = _Unpacking(archive, folder, names)
    with damage_told(archive):
        yield from unpacking.exact()
        sources, problems = unpacking.others()
        if sources:
            yield from unpacking.read(sources)
    for name, problem in problems.items():
        yield RawFile(name, None, problem=problem)


class _Unpacking:
    """An archive that is being unpacked, and what is known of it by now."""

    def __init__(self, archive: Path, folder: Path, names: Collection[str]) -> None:
        self.archive = archive
        self.folder = folder
        self.names = names
        # of each member: None for a file; for a link, the member it leads to
        self.targets: dict[str, str | None] = {}
        # of each name that was found: the file or link, and the checksum of what was unpacked
        self.found: dict[str, tuple[Member, int]] = {}

    def exact(self) -> Iterator[RawFile]:
        """Unpack the files whose names are listed exactly, and note the names of all members."""
        for member in members(self.archive):
            self.targets[member.name] = member.link
            name = member_name(member.name)
            if name not in self.names:
                continue
            if name in self.found:
                self.refuse_twice(name, member)
            if member.link is None:
                yield from self.take(member, [name])
            else:
                self.found[name] = member, 0

    def others(self) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Return, for the names that are left, which files to read for them, and what is wrong with the rest."""
        left = [name for name in self.names if name not in self.found or self.found[name][0].link is not None]
        meant = match(self.names, self.targets) if left else {}
        missing = [name for name in left if name not in meant]
        if len(missing) == len(self.names) > 1:
            raise InputError(all_missing_text(missing, self.archive, list(self.targets)))
        sources: dict[str, list[str]] = defaultdict(list)
        problems = missing_texts(missing, self.archive, list(self.targets))
        for name in left:
            if name in meant and (file := self.end_of_links(meant[name])):
                sources[file].append(name)
            elif name in meant:
                problems[name] = (
                    f"{name} is in the image list, but in {self.archive} it is a link to {self.targets[meant[name]]}, "
                    "which is no file there; pack the archive again with the file itself (tar --dereference)."
                )
        self.warn_of_others({name: member for name, member in meant.items() if member_name(member) != name})
        return sources, problems

    def read(self, sources: dict[str, list[str]]) -> Iterator[RawFile]:
        """Unpack the given files, each for the names that mean it."""
        for member in members(self.archive):
            if member.link is None and member.name in sources:
                yield from self.take(member, sources[member.name])

    def take(self, member: Member, names: Sequence[str]) -> list[RawFile]:
        """Unpack a file for each of the names that mean it."""
        images: list[RawFile] = []
        for name in names:
            if name in self.found and self.found[name][0].link is None:
                self.refuse_twice(name, member)
            if member.path:
                path, checksum = member.path, 0
            else:
                # a tar gives its content only once
                content = images[0].path.open("rb") if images and images[0].path else member.open()
                path, checksum = self.copy(content, member)
            self.found[name] = member, checksum
            images.append(RawFile(name, path, is_copy=member.path is None))
        return images

    def copy(self, content: IO[bytes], member: Member) -> tuple[Path, int]:
        """Write a content into a new folder, under the file name that the member has; return its CRC-32 too."""
        free = shutil.disk_usage(self.folder).free
        if member.size > free:
            raise InputError(
                f"{member.name} in {self.archive} takes {member.size:,} bytes, but {self.folder} has room for "
                f"{free:,}; make room there, or set TMPDIR to a folder on a larger disk."
            )
        path = Path(tempfile.mkdtemp(dir=self.folder)) / PurePosixPath(member.name).name
        with content, path.open("wb") as file:
            return path, _copy(content, file)

    def end_of_links(self, name: str) -> str | None:
        """Return the file that a member is or leads to, through any number of links."""
        seen = set()
        while target := self.targets.get(name):
            if name in seen:
                return None
            seen.add(name)
            name = target
        return name if name in self.targets else None

    def warn_of_others(self, others: dict[str, str]) -> None:
        """Say that images were found under other names than listed; they might be others."""
        if others:
            name, member = next(iter(others.items()))
            logger.warning(
                "%s: %d of the %d listed images are used under other names there, such as %s for %s",
                *(self.archive, len(others), len(self.names), member, name),
            )

    def refuse_twice(self, name: str, second: Member) -> NoReturn:
        """Refuse an archive that holds a listed image twice."""
        first, checksum = self.found[name]
        if first.name != second.name:
            which = f" ({first.name} and {second.name})"
        elif first.link or second.link:
            which = ", once as a link"
        else:
            with second.open() as content:
                is_same = checksum == _copy(content, None)
            which = ", with the same content" if is_same else ", with different contents"
        raise InputError(f"{self.archive} holds {name} twice{which}; keep it there once.")


def _copy(content: IO[bytes], file: IO[bytes] | None) -> int:
    """Copy a content to a file, if there is one, and return its CRC-32."""
    checksum = 0
    while block := content.read(2**20):
        checksum = zlib.crc32(block, checksum)
        if file:
            file.write(block)
    return checksum
