"""Containers of raw images: the members of an archive or of a plain folder, one by one, and nothing unsafe.

The first bytes decide what an archive is, not its name.

- A tar is read in one pass, from its first byte to its last, so that every checksum is compared. It may be compressed
  (gzip, bzip2, xz, zstd), also twice, as some servers do. Tars that were joined to one file are read in full. Python's
  tarfile takes a damaged header for the end of the tar; here it is an error, as is a tar without its end.
- A zip is read by its directory.
- A folder may take the place of an archive. Its files are read where they are.

No file is ever written under a member's own path, and no link is made: a link is only the name of another member.
"""

import bz2
import gzip
import io
import lzma
import os
import posixpath
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, Self

import zstandard

from ssp_model.errors import InputError

# what a damaged archive may make the libraries raise; an OSError without a number is also one (see below)
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
# as .tar.gz.gz
MAX_LAYERS = 2
# of zstd data, decoded at a time: at most 128 MiB come of it
ZSTD_CHUNK = 4096


@dataclass(frozen=True)
class Member:
    """A file of an archive, or a link to one.

    Attributes
    ----------
    name : str
        Its path in the archive, with `/` between folders and none at the start. Of a folder in place of an archive,
        the path starts with that folder's own name.
    size : int
        Bytes of the content, as the archive claims.
    open : callable
        Open the content for reading. The content of a tar can only be read before the next member is asked for.
    link : str, optional
        Of a link: the name of the member that it leads to.
    path : Path, optional
        Of a folder in place of an archive: the file.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]
    link: str | None = None
    path: Path | None = None


def members(archive: Path) -> Iterator[Member]:
    """Yield the files and links of an archive, in its order, without what systems add (`._a.czi`, `.DS_Store`).

    Read them, and their contents, inside `damage_told`.

    Raises
    ------
    InputError
        The archive is not safe: a member or a link leads out of the archive, or is a device.
    """
    for member in _container(archive)(archive):
        if not _is_clutter(member.name):
            yield member


@contextmanager
def damage_told(archive: Path) -> Iterator[None]:
    """Turn what a damaged archive makes the libraries raise into a sentence.

    Raises
    ------
    InputError
        The archive is truncated, damaged or no archive, or it can't be read or unpacked.
    """
    try:
        yield
    except DAMAGE as error:
        raise InputError(_damage(archive, error)) from None
    except OSError as error:
        # gzip and bzip2 raise it, without a number, for damaged data
        if error.errno is None:
            raise InputError(_damage(archive, error)) from None
        where = f" at {error.filename}" if error.filename else ""
        raise InputError(
            f"{archive} can't be unpacked: the system says {error.strerror!r}{where}; check that the file can be read, "
            "and that the folder for temporary files (TMPDIR) has room."
        ) from None


def _damage(archive: Path, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    return (
        f"{archive} ({archive.stat().st_size:,} bytes) is truncated, damaged or not a tar or zip archive ({reason}); "
        "download it again, or, if it is your own, copy it or pack it again."
    )


def _container(archive: Path) -> Callable[[Path], Iterator[Member]]:
    if archive.is_dir():
        return _folder_members
    with archive.open("rb") as file:
        return _zip_members if file.read(4).startswith(ZIP_STARTS) else _tar_members


# Tar


class _Header(tarfile.TarInfo):
    """A header that tells a damaged header from the end of the tar."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            if type(error).__name__ in ("EOFHeaderError", "EmptyHeaderError"):
                raise
            raise tarfile.ReadError(f"{error} at byte {tar.offset:,} of the tar") from None


class _Tar(tarfile.TarFile):
    tarinfo = _Header


def _tar_members(archive: Path) -> Iterator[Member]:
    # ignore_zeros: the end of a tar, a block of zeros, does not end the reading, so that a tar joined to it is read
    with _decompressed(archive) as stream, _Tar.open(fileobj=stream, mode="r|", ignore_zeros=True) as tar:
        end = 0
        for header in tar:
            end = tar.offset
            name = _safe_name(header.name, archive)
            header = _filtered(header, archive)
            if header.isfile():
                yield Member(name, header.size, partial(_tar_content, tar, header))
            elif header.issym() or header.islnk():
                target = _safe_target(header.linkname, posixpath.dirname(name) if header.issym() else "", archive)
                # tar stores a file that it was given twice as a link to itself
                if target != name:
                    yield Member(name, 0, partial(_tar_content, tar, header), link=target)
        if tar.offset == end:
            raise tarfile.ReadError("the end of the tar is missing")


def _tar_content(tar: tarfile.TarFile, header: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(header)
    assert content is not None
    return content


def _filtered(header: tarfile.TarInfo, archive: Path) -> tarfile.TarInfo:
    # Python before 3.11.4 (Debian 12) has no filter; the checks of names and links are made there too
    if not hasattr(tarfile, "data_filter"):
        return header
    try:
        return tarfile.data_filter(header, str(archive))
    except tarfile.FilterError as error:
        _refuse(archive, str(error))


@contextmanager
def _decompressed(archive: Path) -> Iterator[Any]:
    """Open an archive, and take off its layers of compression."""
    with ExitStack() as stack:
        stream: Any = stack.enter_context(archive.open("rb"))
        for _ in range(MAX_LAYERS):
            start = stream.peek(10)
            opener = next((opener for magic, opener in DECOMPRESSORS.items() if re.match(magic, start)), None)
            if opener is None:
                break
            stream = stack.enter_context(opener(stream))
        yield stream


class _Zstd(io.RawIOBase):
    """Decompress zstd data. A truncated frame is an error (zstandard's own reader takes it for the end)."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame: Any = None
        self._input = b""
        self._output = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            self._input = self._input or self._file.read(ZSTD_CHUNK)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the zstd data end too early")
                return 0
            self._decode()
        size = min(len(buffer), len(self._output))
        buffer[:size] = self._output[:size]
        self._output = self._output[size:]
        return size

    def _decode(self) -> None:
        self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        self._output = self._frame.decompress(self._input)
        self._input = b""
        if self._frame.eof:
            self._input = self._frame.unused_data
            self._frame = None


DECOMPRESSORS: dict[bytes, Callable[[Any], Any]] = {
    rb"\x1f\x8b": gzip.open,
    rb"BZh[1-9]1AY&SY": bz2.open,
    rb"\xfd7zXZ\x00": lzma.open,
    # a frame, or what pzstd writes in front of the first
    rb"\x28\xb5\x2f\xfd|\x50\x2a\x4d\x18": lambda file: io.BufferedReader(_Zstd(file), 2**17),
}


# Zip


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        # the directory of a second zip does not know the members of the first
        if min((entry.header_offset for entry in entries), default=0) > 0:
            raise zipfile.BadZipFile("other data, such as a second zip, stand before its first member")
        for entry in entries:
            if entry.is_dir():
                continue
            name = _safe_name(_zip_name(entry), archive)
            content = partial(_zip_content, file, entry, archive)
            link = None
            if stat.S_ISLNK(entry.external_attr >> 16):
                with content() as text:
                    link = _safe_target(os.fsdecode(text.read(4096)), posixpath.dirname(name), archive)
            yield Member(name, entry.file_size, content, link)


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Return a member's name; macOS writes UTF-8 without saying so, and zipfile then takes it for code page 437."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _zip_content(file: zipfile.ZipFile, entry: zipfile.ZipInfo, archive: Path) -> IO[bytes]:
    try:
        return file.open(entry)
    # a password, or a kind of compression that Python lacks (Windows uses Deflate64 for large files)
    except RuntimeError as error:
        raise InputError(
            f"{entry.filename} in {archive} can't be unpacked ({error}); pack it again, without a password, as .tar or "
            "as .zip with Deflate."
        ) from None


# Folder


def _folder_members(folder: Path) -> Iterator[Member]:
    # a link to a folder has a name of its own
    folder = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = _printable(path.relative_to(folder.parent).as_posix())
            yield Member(name, path.stat().st_size, partial(_file_content, path), path=path)


def _file_content(path: Path) -> IO[bytes]:
    return path.open("rb")


# Safety


def _safe_name(name: str, archive: Path) -> str:
    """Return a member's name with `/` between folders; refuse the archive, though the member may not be wanted."""
    path = PurePosixPath(name.replace("\\", "/").lstrip("/"))
    if ".." in path.parts:
        _refuse(archive, f"its member {_printable(name)} leads out of the folder")
    return _printable(str(path))


def _safe_target(link: str, folder: str, archive: Path) -> str:
    """Return the name of the member that a link in a folder of the archive leads to."""
    target = posixpath.normpath(posixpath.join(folder, link.replace("\\", "/")))
    if posixpath.isabs(target) or target.split("/")[0] == "..":
        _refuse(archive, f"its link to {_printable(link)} leads out of the folder")
    return _printable(target)


def _printable(name: str) -> str:
    """Replace the bytes that are no UTF-8, which Python keeps as halves of characters that can't be written."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _refuse(archive: Path, reason: str) -> NoReturn:
    raise InputError(
        f"{archive} is not safe to unpack: {reason}. No image of it was used; get it from a source you trust."
    ) from None


def _is_clutter(name: str) -> bool:
    """Tell whether macOS or Windows added a file: forks of files, looks of folders, thumbnails."""
    path = PurePosixPath(name)
    return path.name.startswith("._") or path.name in (".DS_Store", "Thumbs.db") or "__MACOSX" in path.parts
