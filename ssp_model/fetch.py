"""Fetch one file: download it, resuming if the transfer breaks, or link to it if it is on this machine.

- A download grows in `<target>.part`. A sidecar, `<target>.part.json`, names the version of the remote file.
  A later attempt, or a later call, asks for the missing bytes of that version. If the version changed, it starts again.
- Bytes are written as they arrive, so a broken transfer loses none of them.
- The target appears only when the file is whole and checked.
"""

import errno
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
from ssp_model.files import sha256_of
from ssp_model.log import logger, progress

TIMEOUT_S = (30.0, 60.0)
"""Longest wait for a connection, and for the next bytes."""

MAX_WAIT_S = 120.0
"""Longest pause between two attempts, even if the server's Retry-After asks for more."""

CHUNK = 1 << 18
"""Most bytes to read at once."""

_COMPARE = "check the address, and the size and checksum that you expect"


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
    """Fetch the file at `source` to the path `target`.

    A broken download resumes, within a call and in later calls. A file of this machine is not copied: the target
    becomes a symbolic link to it.

    Parameters
    ----------
    source
        An `https://`, `http://` or `file://` address, or a path.
    sha256
        Checksum that the file must have, in hexadecimal.
    size
        Number of bytes that the file must have.
    link
        If False, copy a file of this machine instead of linking to it.
    attempts
        Number of failures in a row, without progress between them, after which to give up.
    wait_s
        Pause after the first failure. Each further failure doubles it; 0 makes no pause at all.

    Raises
    ------
    InputError
        The file could not be fetched, its size or checksum is wrong, or the server sent a web page in its place. A
        `.part` file that can be resumed is kept.
    """
    scheme = source.partition("://")[0].lower() if "://" in source else "file"
    if scheme not in ("https", "http", "file"):
        raise InputError(f"{source}: {scheme}:// is not supported; use https://, http://, file:// or a path.")
    try:
        if target.is_dir():
            raise InputError(f"{target} is a folder, but a file is to be written there; move the folder away.")
        target.parent.mkdir(parents=True, exist_ok=True)
        if scheme == "file":
            _take(_local_path(source), target, size, sha256, link=link)
        else:
            _Download(source, target, size, sha256).run(attempts, wait_s)
    except OSError as error:
        path = error.filename or target
        raise InputError(f"{path}: {error.strerror or error}; check this path and its disk.") from error


def _local_path(source: str) -> Path:
    """Return the absolute path of a `file://` address (percent-decoded) or of a plain path."""
    _, is_address, place = source.partition("://")
    try:
        path = Path(unquote(place).removeprefix("localhost") if is_address else source).expanduser()
    except RuntimeError as error:
        raise InputError(f"{source}: there is no such home folder; write the whole path.") from error
    if is_address and not path.is_absolute():
        raise InputError(f"{source} is not an absolute path; write file:///folder/file or a plain path.")
    return path.absolute()


def _take(path: Path, target: Path, size: int | None, sha256: str | None, *, link: bool) -> None:
    """Check a file of this machine, and make `target` a symbolic link to it, or a copy."""
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist or is not a file"
        raise InputError(f"{path} {found}; check the path.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read by you; check its permissions.")
    if path.resolve() == target.parent.resolve() / target.name:
        raise InputError(f"{path} is both the source and the target; keep the source elsewhere.")
    check_file(path, str(path), size, sha256)
    temporary = target.with_name(target.name + ".link")
    temporary.unlink(missing_ok=True)
    if link:
        temporary.symlink_to(path)
    else:
        shutil.copyfile(path, temporary)
    temporary.replace(target)


def check_file(path: Path, source: str, size: int | None, sha256: str | None) -> None:
    """Check the size and the checksum of a file that came from `source`.

    Raises
    ------
    InputError
        They are not those that are wanted.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        raise InputError(f"{source} has {found} bytes, not {size}; {_COMPARE}.")
    if sha256 is not None:
        logger.info("checking the checksum of %s", path.name)
        digest = sha256_of(path)
        if digest != sha256.lower():
            raise InputError(f"{source} has SHA-256 {digest}, not {sha256}; {_COMPARE}.")


def _refuse_web_page(path: Path, url: str) -> None:
    """Refuse a web page, which many servers send with the status of success where a login is missing."""
    with path.open("rb") as file:
        start = file.read(1000).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<?xml") and b"<html" in start):
        raise InputError(
            f"{url}: the server sent a web page, not the file, which may need a login or be at another address; give "
            "the address that the file itself is downloaded from."
        )


class _TransferError(Exception):
    """A failure of a transfer that may be gone at the next attempt."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


_PASSING = (_TransferError, requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)


class _Version(NamedTuple):
    """The version of a remote file, as far as its server tells it."""

    url: str
    etag: str | None
    modified: str | None
    total: int | None


class _Download:
    """The download of one file: its part file, the sidecar that names the version, and its progress."""

    def __init__(self, url: str, target: Path, size: int | None, sha256: str | None) -> None:
        self.url, self.target, self.size, self.sha256 = url, target, size, sha256
        self.part = target.with_name(target.name + ".part")
        self.sidecar = target.with_name(target.name + ".part.json")
        self.furthest = 0

    def run(self, attempts: int, wait_s: float) -> None:
        """Transfer until the part is whole, check it, and rename it to the target."""
        failures, furthest = 0, 0
        with requests.Session() as session:
            while True:
                try:
                    total = self._transfer(session)
                    break
                except _PASSING as error:
                    # a server that ignores ranges and always breaks off sends bytes, but makes no progress
                    failures = 1 if self.furthest > furthest else failures + 1
                    furthest = self.furthest
                    _pause(self.url, error, failures, attempts, wait_s)
                except requests.RequestException as error:
                    raise InputError(f"{self.url}: {error}; check the address.") from error
        try:
            _refuse_web_page(self.part, self.url)
            check_file(self.part, self.url, total if self.size is None else self.size, self.sha256)
        except InputError:
            self._discard()
            raise
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())
        self.part.replace(self.target)
        self.sidecar.unlink(missing_ok=True)

    def _transfer(self, session: requests.Session) -> int | None:
        """Make one request, and receive its answer. Return the size of the whole file, if known."""
        known = self._begun()
        have = self.part.stat().st_size if known else 0
        headers = {"Accept-Encoding": "identity"} | (_range_headers(known, have) if known and have else {})
        with session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            status, found = response.status_code, _version(self.url, response)
            if status == 200:
                decode = _needs_decoding(self.url, response)
                self._begin(None if decode else found)
                return self._receive(response, 0, None if decode else found.total, decode=decode)
            if not (known and have and status in (206, 416)):
                raise _refusal(self.url, response)
            # the answer to a range may say less of the version than the answer to a whole request
            same = all(None in pair or len(set(pair)) == 1 for pair in zip(known, found, strict=True))
            total = known.total if found.total is None else found.total
            if same and status == 416 and have == total:
                return total
            if same and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                return self._receive(response, have, total)
        self._discard()
        return self._transfer(session)

    def _receive(
        self, response: requests.Response, have: int, total: int | None, *, decode: bool = False
    ) -> int | None:
        """Append the content of a response to the part, which has `have` of `total` bytes. Return `total`."""
        if self.size is not None and total not in (None, self.size):
            raise InputError(f"{self.url} has {total} bytes, not {self.size}; {_COMPARE}.")
        expected = self.size if total is None else total
        left_mb = ((expected or have) - have) / 1e6
        what = f"{self.target.name} (resumed at {have / 1e6:,.0f} MB)" if have else self.target.name
        try:
            with self.part.open("ab") as file, progress(what, left_mb, "MB") as advance:
                # read1 returns what has arrived; read would lose up to a chunk when the connection breaks
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
        return f"{self.part}: the disk is full and {need} is needed; free some space and run again to resume."

    def _begun(self) -> _Version | None:
        """Return the version of the part, or None if there is no part that can be resumed."""
        try:
            version = _Version(*json.loads(self.sidecar.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        # a server that names no version may change the file unnoticed; then only a checksum makes it safe to resume
        safe = version.etag or version.modified or self.sha256
        return version if safe and version.url == self.url and self.part.exists() else None

    def _begin(self, version: _Version | None) -> None:
        """Empty the part, then write its version, so that old bytes are never taken for the new version."""
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
    """Ask for the bytes from `start`, or for all if the version changed, which a weak ETag can't tell."""
    strong = version.etag if version.etag and not version.etag.startswith("W/") else version.modified
    return {"Range": f"bytes={start}-"} | ({"If-Range": strong} if strong else {})


def _needs_decoding(url: str, response: requests.Response) -> bool:
    """Return whether the server compressed the file for the transfer, which it was asked not to do."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise InputError(
            f"{url}: the server sends the file compressed ({encoding}); download it in another way and give its path."
        )
    # some servers label a .gz file as compressed for the transfer, but its bytes are the file itself
    return encoding != "identity" and not urlsplit(url).path.endswith((".gz", ".tgz"))


def _refusal(url: str, response: requests.Response) -> Exception:
    """Return the error for a status without a file: one to try again, or a final one."""
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
    """Wait before the next attempt, longer each time. Raise the error if there is no next attempt."""
    problem = f"{url}: {_reason(error)} (attempt {failures} of {attempts} without progress)"
    if failures >= attempts:
        raise InputError(f"{problem}; check the address and the network, or run again later.") from error
    logger.warning("%s", problem)
    backoff_s = wait_s * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
    if wait_s:
        time.sleep(min(max(backoff_s, getattr(error, "retry_after_s", 0.0)), MAX_WAIT_S))


def _reason(error: BaseException) -> str:
    """Say what broke a transfer. The innermost error, from the operating system, says it most plainly."""
    if isinstance(error, _TransferError):
        return str(error)
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server did not answer in time"
    while error.__context__ and not getattr(error, "strerror", None):
        error = error.__context__
    return f"the connection broke ({getattr(error, 'strerror', None) or error})"
