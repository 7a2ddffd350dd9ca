"""Get one file from where it is kept: a download that resumes, or a link to a path.

- A download grows in `<target>.part`; `<target>.part.json` names the version of the file it is a part of.
  A later attempt, or a later call, asks for the missing bytes of that version and otherwise starts anew.
- Bytes are written as they arrive, so a broken transfer keeps all it had received.
- The target's name appears only when the file is whole and checked.
"""

import errno
import hashlib
import json
import os
import random
import shutil
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from ssp_model.errors import InputError
from ssp_model.log import logger, progress

TIMEOUT_S = (30.0, 60.0)
"""Longest wait for a connection, and for the next bytes on it."""

MAX_WAIT_S = 120.0
"""Longest pause between two attempts, whatever the server's Retry-After says."""

CHUNK = 1 << 18

_COMPARE = "check that this is the file you want and that what you expect of it is right"


def fetch(
    source: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    link: bool = True,
    attempts: int = 6,
    wait_s: float = 1.0,
) -> None:
    """Make `target` the file at `source`: an `https://`, `http://` or `file://` address, or a path.

    A download resumes after a break, within a call and across calls. A local file is not copied: the target
    becomes a symbolic link to it, unless `link` is False.

    Parameters
    ----------
    sha256, size
        Checksum (hexadecimal) and number of bytes the file has to have.
    attempts
        Give up after this many failures in a row without progress.
    wait_s
        Pause after the first failure, doubled after each further one; 0 for no pauses at all.

    Raises
    ------
    InputError
        The file can't be had or is not the one wanted; a `.part` file worth resuming is kept.
    """
    scheme = source.partition("://")[0].lower() if "://" in source else "file"
    if scheme not in ("https", "http", "file"):
        raise InputError(f"{source}: {scheme}:// is not supported; use https://, http://, file:// or a path.")
    try:
        if target.is_dir():
            raise InputError(f"{target}: is a folder, wanted the name of a file; move it away.")
        target.parent.mkdir(parents=True, exist_ok=True)
        if scheme == "file":
            _take(_local_path(source), target, size, sha256, link)
        else:
            _Download(source, target, size, sha256).run(attempts, wait_s)
    except OSError as error:
        place = error.filename or target
        raise InputError(f"{place}: {error.strerror or error}; check this path and its disk.") from error


def _local_path(source: str) -> Path:
    """Absolute path of a `file://` address, percent-decoded, or of a plain path."""
    _, is_address, place = source.partition("://")
    try:
        path = Path(unquote(place).removeprefix("localhost") if is_address else source).expanduser()
    except RuntimeError as error:
        raise InputError(f"{source}: there is no such home folder; write the path in full.") from error
    if is_address and not path.is_absolute():
        raise InputError(f"{source}: wanted an absolute path; write file:///folder/file or a plain path.")
    return path.absolute()


def _take(path: Path, target: Path, size: int | None, sha256: str | None, link: bool) -> None:
    """Check the file at `path` and replace `target` by a symbolic link to it, or by a copy."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist or is not a file"
        raise InputError(f"{path}: {found}, wanted a file; check the path.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: you may not read it; check its permissions.")
    if path.resolve() == target.parent.resolve() / target.name:
        raise InputError(f"{path}: is the target itself; keep the source elsewhere.")
    _check(path, str(path), size, sha256)
    temporary = target.with_name(target.name + ".link")
    temporary.unlink(missing_ok=True)
    if link:
        temporary.symlink_to(path)
    else:
        shutil.copyfile(path, temporary)
    temporary.replace(target)


def _check(path: Path, source: str, size: int | None, sha256: str | None) -> None:
    found = path.stat().st_size
    if size is not None and found != size:
        raise InputError(f"{source}: has {found} bytes, wanted {size}; {_COMPARE}.")
    if sha256 is not None:
        logger.info("%s: computing the checksum", path.name)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256.lower():
            raise InputError(f"{source}: has SHA-256 {digest}, wanted {sha256}; {_COMPARE}.")


class _TransferError(Exception):
    """A transfer failed in a way that may pass."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


_PASSING = (_TransferError, requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)


class _Version(NamedTuple):
    """What tells one version of a remote file from another, as far as its server says."""

    url: str
    etag: str | None
    modified: str | None
    total: int | None


class _Download:
    """The download of one file: the part, the sidecar that names its version, and how far it came."""

    def __init__(self, url: str, target: Path, size: int | None, sha256: str | None) -> None:
        self.url, self.target, self.size, self.sha256 = url, target, size, sha256
        self.part = target.with_name(target.name + ".part")
        self.sidecar = target.with_name(target.name + ".part.json")
        self.furthest = 0

    def run(self, attempts: int, wait_s: float) -> None:
        """Transfer until the part is whole, then check it and give it the target's name."""
        failures, furthest = 0, 0
        with requests.Session() as session:
            while True:
                try:
                    total = self._transfer(session)
                    break
                except _PASSING as error:
                    # A server that ignores ranges and always breaks off brings bytes, but no progress.
                    failures = 1 if self.furthest > furthest else failures + 1
                    furthest = self.furthest
                    _pause(self.url, error, failures, attempts, wait_s)
                except requests.RequestException as error:
                    raise InputError(f"{self.url}: {error}; check the address.") from error
        try:
            _check(self.part, self.url, total if self.size is None else self.size, self.sha256)
        except InputError:
            self._discard()
            raise
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())
        self.part.replace(self.target)
        self.sidecar.unlink(missing_ok=True)

    def _transfer(self, session: requests.Session) -> int | None:
        """Make one request and take in what it brings; returns the whole file's size, where known."""
        known = self._begun()
        have = self.part.stat().st_size if known else 0
        headers = {"Accept-Encoding": "identity"} | (_range_headers(known, have) if known and have else {})
        with session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            status, found = response.status_code, _version(self.url, response)
            if status == 200:
                decode = _needs_decoding(self.url, response)
                self._begin(None if decode else found)
                return self._receive(response, 0, None if decode else found.total, decode)
            if not (known and have and status in (206, 416)):
                raise _refusal(self.url, response)
            # An answer to a range may leave out what a whole answer says of the version.
            same = all(None in pair or len(set(pair)) == 1 for pair in zip(known, found, strict=True))
            total = known.total if found.total is None else found.total
            if same and status == 416 and have == total:
                return total
            if same and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                return self._receive(response, have, total)
        self._discard()
        return self._transfer(session)

    def _receive(self, response: requests.Response, have: int, total: int | None, decode: bool = False) -> int | None:
        """Append what the response brings to the part."""
        if self.size is not None and total not in (None, self.size):
            raise InputError(f"{self.url}: has {total} bytes, wanted {self.size}; {_COMPARE}.")
        expected = self.size if total is None else total
        left_mb = ((expected or have) - have) / 1e6
        what = f"{self.target.name} from {have / 1e6:,.0f} MB on" if have else self.target.name
        try:
            with self.part.open("ab") as file, progress(what, left_mb, "MB") as advance:
                # read1 gives what has arrived; read would lose up to a chunk when the connection breaks.
                while data := response.raw.read1(CHUNK, decode_content=decode):
                    file.write(data)
                    advance(len(data) / 1e6)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise InputError(self._disk_full(expected)) from error
            raise
        finally:
            have = self.part.stat().st_size
            self.furthest = max(self.furthest, have)
        if expected is not None and have < expected:
            raise _TransferError(f"the transfer ended at {have} of {expected} bytes")
        return total

    def _disk_full(self, expected: int | None) -> str:
        need = f"{(expected - self.part.stat().st_size) / 1e6:,.1f} MB more" if expected else "more space"
        return f"{self.part}: the disk is full, wanted {need}; free some and run again, it resumes."

    def _begun(self) -> _Version | None:
        """Version of the part, if there is one that can be resumed."""
        try:
            version = _Version(*json.loads(self.sidecar.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        # A server that names no version may change the file unseen: then only a checksum makes joining safe.
        safe = version.etag or version.modified or self.sha256
        return version if safe and version.url == self.url and self.part.exists() else None

    def _begin(self, version: _Version | None) -> None:
        """Empty the part, then name its version: old bytes must never pass for the new version's."""
        self._discard()
        self.part.touch()
        if version:
            self.sidecar.write_text(json.dumps(version))

    def _discard(self) -> None:
        self.sidecar.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)


def _version(url: str, response: requests.Response) -> _Version:
    headers = response.headers
    length = headers.get("Content-Length", "") if response.status_code == 200 else ""
    length = headers.get("Content-Range", length).rpartition("/")[2]
    total = int(length) if length.isdecimal() else None
    return _Version(url, headers.get("ETag"), headers.get("Last-Modified"), total)


def _range_headers(version: _Version, start: int) -> dict[str, str]:
    """Ask for the bytes from `start`, or for all if the version changed; a weak tag can't ask that."""
    strong = version.etag if version.etag and not version.etag.startswith("W/") else version.modified
    return {"Range": f"bytes={start}-"} | ({"If-Range": strong} if strong else {})


def _needs_decoding(url: str, response: requests.Response) -> bool:
    """Whether the server sends the file compressed although asked not to."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise InputError(f"{url}: sent as {encoding}, wanted it plain; download it by hand and give its path.")
    # Servers label archives as gzip encoded: those bytes are the file itself.
    return encoding != "identity" and not urlsplit(url).path.endswith((".gz", ".tgz"))


def _refusal(url: str, response: requests.Response) -> Exception:
    """What a status that brings no file means: an error that may pass, or one that won't."""
    status = response.status_code
    answer = f"the server answered {status} {response.reason or ''}".rstrip()
    if status not in (408, 425, 429) and status < 500:
        access = " and that you may read it" if status in (401, 403) else ""
        return InputError(f"{url}: {answer}; check the address{access}.")
    retry_after = response.headers.get("Retry-After", "")
    if retry_after.isdecimal():
        return _TransferError(answer, float(retry_after))
    try:
        return _TransferError(answer, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return _TransferError(answer)


def _pause(url: str, error: Exception, failures: int, attempts: int, wait_s: float) -> None:
    """Wait before the next attempt, longer each time, unless it was the last."""
    problem = f"{url}: {_reason(error)} (attempt {failures} of {attempts} without progress)"
    if failures >= attempts:
        raise InputError(f"{problem}; check the address and the network, or run again later.") from error
    logger.warning("%s", problem)
    backoff_s = wait_s * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
    if wait_s:
        time.sleep(min(max(backoff_s, getattr(error, "retry_after_s", 0.0)), MAX_WAIT_S))


def _reason(error: BaseException) -> str:
    """What broke a transfer; the operating system's error, innermost, says it most plainly."""
    if isinstance(error, _TransferError):
        return str(error)
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server did not answer in time"
    while error.__context__ and not getattr(error, "strerror", None):
        error = error.__context__
    return f"the connection broke ({getattr(error, 'strerror', None) or error})"
