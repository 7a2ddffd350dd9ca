"""A web server on the loopback interface for tests, with faults on demand.

with FileServer(folder) as server:
    server.cut_after("a.bin", 1000)  # the first request for a.bin breaks off after 1000 bytes
    fetch(server.url("a.bin"), target)
assert server.requests[1].range == "bytes=1000-"
"""

import hashlib
import re
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

STALL_TIMEOUT_S = 60.0


class Request(NamedTuple):
    """A request that was answered: headers by their lower-case names, and the status of the answer."""

    path: str
    headers: Mapping[str, str]
    status: int

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class Stall:
    """A transfer that stops: `reached` is set when it does, `release` lets it break off."""

    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Fault:
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    n_bytes: int | None = None
    stall: Stall | None = None


class FileServer:
    """Serves the small files of a folder with ranges, ETag and Last-Modified, and records the requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[Request] = []
        self.ignore_ranges = False
        self.ignore_if_range = False
        self.headers: dict[str, dict[str, str | None]] = defaultdict(dict)
        """Headers to add to or change in the answers for a path; None leaves one out."""
        self._faults: dict[str, deque[_Fault]] = defaultdict(deque)
        self._stalls: list[Stall] = []
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.files = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "FileServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stall in self._stalls:
            stall.release.set()
        self.close()
        self._thread.join()

    def close(self) -> None:
        """Refuse connections from now on."""
        # the thread that serves must end first, or it may still take one
        self._http.shutdown()
        self._http.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/{quote(path)}"

    def fail(self, path: str, status: int, times: int = 1, **headers: str) -> None:
        """Answer the next requests for a path with a status; `Retry_After="3"` is the header Retry-After."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults[path].extend(_Fault(status=status, headers=named) for _ in range(times))

    def cut_after(self, path: str, n_bytes: int, times: int = 1) -> None:
        """Close the connection after so many bytes of an answer."""
        self._faults[path].extend(_Fault(n_bytes=n_bytes) for _ in range(times))

    def stall_after(self, path: str, n_bytes: int) -> Stall:
        """Send so many bytes of an answer and then nothing, until released."""
        stall = Stall()
        self._stalls.append(stall)
        self._faults[path].append(_Fault(n_bytes=n_bytes, stall=stall))
        return stall

    def next_fault(self, path: str) -> _Fault:
        return self._faults[path].popleft() if self._faults[path] else _Fault()


class _Server(ThreadingHTTPServer):
    files: FileServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over clients that went away; show any other error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        files = self.server.files
        path = unquote(urlsplit(self.path).path).lstrip("/")
        fault = files.next_fault(path)
        status, headers, body = self._answer(files, files.folder / path)
        if fault.status:
            status, headers, body = fault.status, dict(fault.headers), b"a page that tells of an error"
        request_headers = {name.lower(): value for name, value in self.headers.items()}
        files.requests.append(Request(path, request_headers, status))
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers | files.headers[path]).items():
            if value is not None:
                self.send_header(name, value)
            elif name == "Content-Length":
                self.close_connection = True  # its end is then the end of the body
        self.end_headers()
        if self.command == "GET":
            self._send(body, fault)

    def _answer(self, files: FileServer, file: Path) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer without faults."""
        if not file.is_file():
            return 404, {}, b"not found"
        content = file.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        modified = self.date_time_string(int(file.stat().st_mtime))
        headers = {"ETag": etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        changed = condition not in (None, etag, modified) and not files.ignore_if_range
        if files.ignore_ranges or not start or changed:
            return 200, headers, content
        first, last = int(start[1]), len(content) - 1
        if first > last:
            return 416, headers | {"Content-Range": f"bytes */{len(content)}"}, b""
        return 206, headers | {"Content-Range": f"bytes {first}-{last}/{len(content)}"}, content[first:]

    def _send(self, body: bytes, fault: _Fault) -> None:
        self.wfile.write(body[: fault.n_bytes])
        if fault.stall:
            fault.stall.reached.set()
            fault.stall.release.wait(STALL_TIMEOUT_S)
        if fault.n_bytes is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""
