"""Downloads against a real server on the loopback interface, with faults on demand."""

import errno
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssp_model import fetch as fetch_module
from ssp_model.errors import InputError
from ssp_model.fetch import fetch
from tests.httpserver import FileServer

CONTENT = random.Random(0).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.bin").write_bytes(CONTENT)
    with FileServer(folder) as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "raw" / "a.bin"


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that fetch makes, recorded and not slept."""
    made = []
    monkeypatch.setattr(fetch_module.time, "sleep", made.append)
    return made


def get(server: FileServer, target: Path, name: str = "a.bin", **options) -> None:
    fetch(server.url(name), target, **{"wait_s": 0, **options})


def part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def leave_part(server: FileServer, target: Path, n_bytes: int = 300_000) -> None:
    """A first call that breaks off and gives up."""
    server.cut_after("a.bin", n_bytes)
    with pytest.raises(InputError):
        get(server, target, attempts=1)
    assert part(target).read_bytes() == CONTENT[:n_bytes]
    server.requests.clear()


def statuses(server: FileServer) -> list[int]:
    return [request.status for request in server.requests]


def only_target_is_left(target: Path) -> bool:
    return [path.name for path in target.parent.iterdir()] == [target.name]


# Whole downloads


def test_downloads_a_file_into_a_new_folder(server, target):
    get(server, target, sha256=SHA256.upper(), size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert only_target_is_left(target)
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_downloads_an_empty_file(server, target):
    (server.folder / "empty.csv").touch()
    get(server, target, "empty.csv", size=0)
    assert target.read_bytes() == b""


def test_replaces_an_older_target(server, target):
    target.parent.mkdir()
    target.write_text("old")
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_follows_redirects(server, target):
    server.fail("moved.bin", 302, Location="/a.bin")
    get(server, target, "moved.bin")
    assert target.read_bytes() == CONTENT


def test_shows_progress_in_megabytes(server, target, monkeypatch):
    shown = []

    class Progress:
        def __init__(self, description, total, unit):
            shown.append((description, total, unit))

        def __enter__(self):
            return shown.append

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(fetch_module, "progress", Progress)
    get(server, target)
    assert shown[0] == ("a.bin", 1.0, "MB")
    assert sum(shown[1:]) == pytest.approx(1.0)


# Resuming


def test_resumes_a_broken_transfer_within_a_call(server, target):
    server.cut_after("a.bin", 300_000)
    get(server, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert [request.range for request in server.requests] == [None, "bytes=300000-"]
    assert statuses(server) == [200, 206]


def test_resumes_across_calls(server, target):
    leave_part(server, target)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [206]
    assert only_target_is_left(target)


def test_resumes_after_the_process_was_killed(server, target):
    stall = server.stall_after("a.bin", 300_000)
    imports = "import sys, pathlib as p\nfrom ssp_model.fetch import fetch\n"
    code = imports + "fetch(sys.argv[1], p.Path(sys.argv[2]))"
    child = subprocess.Popen([sys.executable, "-c", code, server.url("a.bin"), str(target)])
    try:
        assert stall.reached.wait(30)
        until = time.monotonic() + 30
        while not (part(target).exists() and part(target).stat().st_size) and time.monotonic() < until:
            time.sleep(0.01)  # the bytes are on their way, there is nothing to wait on
    finally:
        child.kill()
        child.wait()
    kept = part(target).stat().st_size
    assert 0 < kept <= 300_000
    assert not target.exists()

    get(server, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1].range == f"bytes={kept}-"
    assert server.requests[-1].status == 206


def test_a_whole_part_left_by_a_killed_process_is_not_downloaded_again(server, target):
    leave_part(server, target)
    part(target).write_bytes(CONTENT)
    get(server, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [416]


def test_a_whole_part_needs_no_content_range_to_be_recognised(server, target):
    leave_part(server, target)
    part(target).write_bytes(CONTENT)
    server.fail("a.bin", 416)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [416]


def test_a_sidecar_without_its_part_is_begun_anew(server, target):
    leave_part(server, target)
    part(target).unlink()
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[0].range is None


def test_a_part_longer_than_the_file_is_begun_anew(server, target):
    leave_part(server, target)
    part(target).write_bytes(CONTENT + b"more")
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [416, 200]


@pytest.mark.parametrize("ignore_if_range", [False, True])
def test_a_file_changed_since_is_begun_anew(server, target, ignore_if_range):
    leave_part(server, target)
    changed = bytes(reversed(CONTENT))
    (server.folder / "a.bin").write_bytes(changed)
    server.ignore_if_range = ignore_if_range
    get(server, target)
    assert target.read_bytes() == changed
    assert statuses(server) == ([206, 200] if ignore_if_range else [200])


@pytest.mark.parametrize("content", [CONTENT + b"longer", CONTENT[:-1]])
def test_a_file_of_another_size_is_begun_anew(server, target, content):
    server.headers["a.bin"] = {"ETag": 'W/"the same"', "Last-Modified": None}
    leave_part(server, target)
    (server.folder / "a.bin").write_bytes(content)
    get(server, target)
    assert target.read_bytes() == content
    assert statuses(server) == [206, 200]


def test_a_part_of_another_address_is_begun_anew(server, target):
    leave_part(server, target)
    (server.folder / "b.bin").write_bytes(CONTENT)
    get(server, target, "b.bin")
    assert target.read_bytes() == CONTENT
    assert server.requests[0].range is None


@pytest.mark.parametrize("sidecar", [None, "", "{}", "[1]"])
def test_a_part_without_a_readable_sidecar_is_begun_anew(server, target, sidecar):
    leave_part(server, target)
    path = part(target).with_name("a.bin.part.json")
    path.unlink()
    if sidecar is not None:
        path.write_text(sidecar)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[0].range is None


@pytest.mark.parametrize(
    ("etag", "modified", "expected"),
    [
        ('"strong"', "Mon, 01 Jan 2024 00:00:00 GMT", '"strong"'),
        ('W/"weak"', "Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ('W/"weak"', None, None),
    ],
)
def test_sends_the_strongest_validator_as_if_range(server, target, etag, modified, expected):
    server.headers["a.bin"] = {"ETag": etag, "Last-Modified": modified}
    server.ignore_if_range = True
    leave_part(server, target)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[0].headers.get("if-range") == expected
    assert statuses(server) == [206]


@pytest.mark.parametrize(("sha256", "status"), [(None, 200), (SHA256, 206)])
def test_resumes_a_file_of_no_known_version_only_under_a_checksum(server, target, sha256, status):
    server.headers["a.bin"] = {"ETag": None, "Last-Modified": None}
    leave_part(server, target)
    get(server, target, sha256=sha256)
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [status]


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, target):
    server.ignore_ranges = True
    server.cut_after("a.bin", 300_000)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [200, 200]


def test_a_server_that_ignores_ranges_and_always_breaks_off_makes_no_progress(server, target):
    server.ignore_ranges = True
    server.cut_after("a.bin", 300_000, times=20)
    with pytest.raises(InputError, match="attempt 3 of 3 without progress"):
        get(server, target, attempts=3)
    assert len(server.requests) == 3


def test_an_answer_with_the_wrong_range_is_begun_anew(server, target):
    leave_part(server, target)
    server.fail("a.bin", 206, Content_Range="bytes 5-33/1000000")
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [206, 200]


# Completeness, size and checksum


def test_a_transfer_without_a_length_is_checked_against_the_size(server, target):
    server.headers["a.bin"] = {"Content-Length": None}
    server.cut_after("a.bin", 300_000)
    get(server, target, size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [200, 206]


def test_a_chunked_transfer_is_received(server, target):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (CONTENT[:70_000], CONTENT[70_000:90_000])) + b"0\r\n\r\n"
    (server.folder / "a.bin").write_bytes(chunks)
    server.headers["a.bin"] = {"Transfer-Encoding": "chunked", "Content-Length": None}
    get(server, target)
    assert target.read_bytes() == CONTENT[:90_000]


def test_a_range_longer_than_announced_is_refused(server, target):
    leave_part(server, target)
    server.fail("a.bin", 206, Content_Range="bytes 300000-300009/300010")
    sidecar = part(target).with_name("a.bin.part.json")
    version = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps([*version[:3], 300_010]))
    with pytest.raises(InputError, match="has 300029 bytes, not 300010"):
        get(server, target)
    assert not target.exists()


def test_a_wrong_size_is_refused_before_the_download(server, target):
    with pytest.raises(InputError, match=r"a\.bin has 1000000 bytes, not 7;"):
        get(server, target, size=7)
    assert not target.exists()
    assert part(target).stat().st_size == 0


def test_a_wrong_checksum_is_refused_and_the_rerun_starts_anew(server, target):
    with pytest.raises(InputError, match=f"a.bin has SHA-256 {SHA256}, not {'0' * 64};"):
        get(server, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []
    get(server, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert [request.range for request in server.requests] == [None, None]


def test_a_failed_download_leaves_the_older_target(server, target):
    target.parent.mkdir()
    target.write_text("old")
    with pytest.raises(InputError):
        get(server, target, sha256="0" * 64)
    assert target.read_text() == "old"


def test_the_target_appears_only_after_its_bytes_are_synced(server, target, monkeypatch):
    synced = []
    monkeypatch.setattr(
        fetch_module.os, "fsync", lambda _: synced.append((part(target).stat().st_size, target.exists()))
    )
    get(server, target)
    assert synced == [(len(CONTENT), False)]


@pytest.mark.parametrize("start", ["<!doctype html>", "\n <HTML>", '<?xml version="1.0"?><!DOCTYPE html><html>'])
def test_a_web_page_in_the_place_of_the_file_is_refused_and_not_kept(server, target, start):
    (server.folder / "a.bin").write_text(f"{start}<body>Sign in</body>")
    with pytest.raises(InputError, match=r"a\.bin: the server sent a web page, not the file, which may need a login"):
        get(server, target, sha256=SHA256)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("content", ["html,image\n", '<?xml version="1.0"?><OME/>'])
def test_a_file_that_resembles_a_web_page_is_kept(server, target, content):
    (server.folder / "a.bin").write_text(content)
    get(server, target)
    assert target.read_text() == content


# Encodings


def test_an_archive_labelled_as_gzip_encoded_stays_an_archive(server, target):
    archive = gzip.compress(CONTENT)
    (server.folder / "a.tar.gz").write_bytes(archive)
    server.headers["a.tar.gz"] = {"Content-Encoding": "x-gzip"}
    server.cut_after("a.tar.gz", 300_000)
    get(server, target, "a.tar.gz")
    assert target.read_bytes() == archive
    assert statuses(server) == [200, 206]


def test_a_table_sent_compressed_is_decoded_and_never_resumed(server, target):
    (server.folder / "a.csv").write_bytes(gzip.compress(CONTENT))
    server.headers["a.csv"] = {"Content-Encoding": "gzip"}
    server.cut_after("a.csv", 300_000)
    get(server, target, "a.csv", sha256=SHA256, size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [200, 200]


def test_an_unknown_encoding_is_refused(server, target):
    server.headers["a.bin"] = {"Content-Encoding": "br"}
    with pytest.raises(InputError, match=r"compressed \(br\); download it in another way"):
        get(server, target)


# Failures that pass, and those that don't


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_retries_statuses_that_pass(server, target, status):
    server.fail("a.bin", status, times=2)
    get(server, target, attempts=3)
    assert target.read_bytes() == CONTENT
    assert statuses(server) == [status, status, 200]


def test_gives_up_after_its_attempts_and_names_the_status(server, target):
    server.fail("a.bin", 503, times=9)
    with pytest.raises(InputError, match=r"a\.bin: the server answered 503 Service Unavailable \(attempt 4 of 4"):
        get(server, target, attempts=4)
    assert len(server.requests) == 4


def test_progress_resets_the_attempts(server, target):
    for _ in range(5):
        server.cut_after("a.bin", 100_000)
        server.fail("a.bin", 500)
    get(server, target, attempts=3, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 11


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, "the server answered 404 Not Found; check the address."),
        (403, "the server answered 403 Forbidden; check the address and that you may read it."),
        (206, "the server answered 206 Partial Content; check the address."),
    ],
)
def test_a_refusal_fails_at_once(server, target, status, sentence):
    server.fail("a.bin", status)
    with pytest.raises(InputError) as raised:
        get(server, target)
    assert str(raised.value) == f"{server.url('a.bin')}: {sentence}"
    assert len(server.requests) == 1


def test_a_connection_refused_is_retried_and_named(server, target):
    url = server.url("a.bin")
    server.close()
    with pytest.raises(InputError, match=r"the connection broke \(Connection refused\) \(attempt 2 of 2"):
        fetch(url, target, attempts=2, wait_s=0)


def test_a_silent_server_is_retried_and_the_transfer_resumed(server, target, monkeypatch):
    monkeypatch.setattr(fetch_module, "TIMEOUT_S", (1.0, 0.05))
    server.stall_after("a.bin", 300_000)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert [request.range for request in server.requests] == [None, "bytes=300000-"]


def test_a_server_silent_for_good_is_named(server, target, monkeypatch):
    monkeypatch.setattr(fetch_module, "TIMEOUT_S", (1.0, 0.05))
    server.stall_after("a.bin", 0)
    with pytest.raises(InputError, match="the server did not answer in time"):
        get(server, target, attempts=1)


def test_pauses_grow_with_jitter(server, target, pauses):
    server.fail("a.bin", 500, times=4)
    get(server, target, wait_s=1.0)
    assert all(0.5 * 2**i <= pause <= 2**i for i, pause in enumerate(pauses))
    assert len(pauses) == 4
    assert pauses != [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("30", 30, 30),
        ("99999", fetch_module.MAX_WAIT_S, fetch_module.MAX_WAIT_S),
        ("in a minute", 50, 61),
        ("soon", 0.5, 1),
    ],
)
def test_honours_retry_after_up_to_a_bound(server, target, pauses, retry_after, least, most):
    if retry_after == "in a minute":
        retry_after = formatdate(time.time() + 60, usegmt=True)
    server.fail("a.bin", 429, Retry_After=retry_after)
    get(server, target, wait_s=1.0)
    assert least <= pauses[0] <= most


def test_no_pause_is_made_when_none_is_wanted(server, target, pauses):
    server.fail("a.bin", 429, Retry_After="30")
    get(server, target)
    assert sum(pauses) == 0


def test_a_malformed_address_fails_at_once(target):
    with pytest.raises(InputError, match=r"http://: .*check the address"):
        fetch("http://", target)


@pytest.mark.parametrize("source", ["ftp://host/a.tar.gz", "s3://bucket/a.tar.gz"])
def test_an_unknown_scheme_lists_what_is_supported(target, source):
    with pytest.raises(InputError, match="is not supported; use https://, http://, file:// or a path"):
        fetch(source, target)


# The disk


def test_a_full_disk_names_the_space_needed_and_keeps_the_part(server, target, monkeypatch):
    monkeypatch.setattr(Path, "open", open_on_a_disk_of(300_000))
    with pytest.raises(InputError, match=r"a\.bin\.part: the disk is full and 0\.7 MB more is needed"):
        get(server, target)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert [request.range for request in server.requests] == [None, "bytes=300000-"]


def open_on_a_disk_of(n_bytes: int):
    """`Path.open` whose files can grow to so many bytes."""
    real_open = Path.open

    class Raw(io.FileIO):
        def write(self, data):
            room = n_bytes - self.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(bytes(data)[:room])

    def open_limited(path, mode="r", *args, **kwargs):
        return io.BufferedWriter(Raw(path, mode)) if mode == "ab" else real_open(path, mode, *args, **kwargs)

    return open_limited


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(InputError, match=r"raw: File exists; check this path"):
        get(server, tmp_path / "raw" / "a.bin")


def test_a_target_that_is_a_folder_is_named(server, target):
    target.mkdir(parents=True)
    with pytest.raises(InputError, match="is a folder, but a file is to be written there"):
        get(server, target)
    assert server.requests == []


# Local files


@pytest.fixture
def local(tmp_path):
    path = tmp_path / "my data" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def sources(local: Path) -> dict[str, str]:
    return {
        "plain": str(local),
        "relative": f"{local.parent.name}/../{local.parent.name}/a.bin",
        "home": "~/my data/a.bin",
        "address": local.as_uri(),
        "localhost": local.as_uri().replace("file://", "FILE://localhost"),
        "home address": "file://~/my%20data/a.bin",
    }


@pytest.mark.parametrize("kind", ["plain", "relative", "home", "address", "localhost", "home address"])
def test_a_local_file_is_linked(local, target, monkeypatch, kind):
    monkeypatch.chdir(local.parent.parent)
    monkeypatch.setenv("HOME", str(local.parent.parent))
    fetch(sources(local)[kind], target, sha256=SHA256, size=len(CONTENT))
    assert target.is_symlink()
    assert target.readlink().is_absolute()
    assert target.samefile(local)
    assert only_target_is_left(target)


def test_a_local_file_is_copied_where_it_will_not_stay(local, target):
    fetch(str(local), target, sha256=SHA256, link=False)
    assert not target.is_symlink()
    local.unlink()
    assert target.read_bytes() == CONTENT
    assert only_target_is_left(target)


def test_a_link_replaces_an_older_target_and_a_rerun_replaces_the_link(local, target):
    target.parent.mkdir()
    target.write_text("old")
    (target.parent / "a.bin.link").write_text("left by a killed process")
    for _ in range(2):
        fetch(str(local), target)
        assert target.readlink() == local
    assert local.read_bytes() == CONTENT


def test_a_download_replaces_a_link_and_not_the_file_it_points_to(server, local, target):
    local.write_text("mine")
    fetch(str(local), target)
    get(server, target)
    assert not target.is_symlink()
    assert local.read_text() == "mine"


def test_a_link_to_itself_is_refused(local):
    with pytest.raises(InputError, match="is both the source and the target"):
        fetch(str(local), local)
    assert local.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "/nowhere/a.tar.gz",
            "^/nowhere/a.tar.gz does not exist or is not a file; check the path.$",
        ),
        ("/", "^/ is a folder, not a file"),
        ("file://host/share/a.tar.gz", "is not an absolute path"),
        ("~nobody-of-that-name/a.tar.gz", "there is no such home folder"),
    ],
)
def test_a_missing_local_file_is_named(target, source, message):
    with pytest.raises(InputError, match=message):
        fetch(source, target)
    assert not target.is_symlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_local_file_is_named(local, target):
    local.chmod(0)
    with pytest.raises(InputError, match="may not be read by you"):
        fetch(str(local), target)


@pytest.mark.parametrize(
    ("expected", "message"),
    [({"size": 7}, "has 1000000 bytes, not 7"), ({"sha256": "0" * 64}, f"has SHA-256 {SHA256}, not 0")],
)
def test_a_local_file_is_checked_before_it_is_linked(local, target, expected, message):
    with pytest.raises(InputError, match=message):
        fetch(str(local), target, **expected)
    assert not target.is_symlink()


# Property


@pytest.fixture(scope="module")
def shared_server():
    with tempfile.TemporaryDirectory() as folder, FileServer(Path(folder)) as server:
        yield server


@given(
    n_bytes=st.integers(0, 200_000),
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 200_000), max_size=6),
    ignore_ranges=st.booleans(),
    calls=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_however_often_it_breaks_the_result_equals_the_source(shared_server, n_bytes, seed, cuts, ignore_ranges, calls):
    content = random.Random(seed).randbytes(n_bytes)
    shared_server.ignore_ranges = ignore_ranges
    with tempfile.TemporaryDirectory(dir=shared_server.folder) as folder:
        name = f"{Path(folder).name}/a.bin"
        (shared_server.folder / name).write_bytes(content)
        for cut in cuts:
            shared_server.cut_after(name, cut)
        target = Path(folder) / "target.bin"
        for _ in range(calls):
            try:
                get(shared_server, target, name, attempts=2)
            except InputError:
                continue
        get(shared_server, target, name, attempts=len(cuts) + 1)
        assert target.read_bytes() == content
