"""Models from elsewhere: fetched once, checked at each use, and never half there."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from ssp_model.errors import InputError
from ssp_model.files import sha256_of
from ssp_model.models import store
from ssp_model.models.model_file import read_info
from ssp_model.models.store import cache_folder, fetch_model, local_model
from tests.helpers import GOLDEN, PROJECT
from tests.httpserver import FileServer

MODEL = GOLDEN / "models/0.1.0/model.safetensors"
SUM = sha256_of(MODEL)
OTHER_SUM = SUM[::-1]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of this test's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("ssp_model.fetch.time.sleep", lambda _: None)
    return tmp_path / "cache/ssp-model/models"


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copy(MODEL, folder / "m.safetensors")
    with FileServer(folder) as server:
        yield server


@pytest.fixture
def address(server):
    return f"{server.url('m.safetensors')}#sha256={SUM}"


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


# Paths


def test_a_path_is_the_file_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_model("a/model.safetensors") == Path("a/model.safetensors")
    assert local_model(Path("~/model.safetensors")) == tmp_path / "model.safetensors"
    assert local_model("~nobody-of-this-name/m") == Path("~nobody-of-this-name/m")


def test_without_a_home_folder_the_cache_must_be_named(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: Path("~/.cache"))
    with pytest.raises(InputError, match="There is no home folder to keep models in; set XDG_CACHE_HOME"):
        cache_folder()


# Web servers


def test_a_model_is_fetched_once(server, address, cache, caplog):
    caplog.set_level("INFO", "ssp_model")
    path = local_model(address)
    assert path == cache / SUM / "model.safetensors"
    assert path.read_bytes() == MODEL.read_bytes()
    assert f"fetching {server.url('m.safetensors')} to {path}" in caplog.messages
    assert local_model(address) == path
    assert [request.status for request in server.requests] == [200]
    assert files_in(cache) == {"model.safetensors", "lock"}


def test_the_same_model_from_another_address_is_known(server, address):
    path = local_model(address)
    assert local_model(f"https://nowhere.invalid/other#sha256={SUM.upper()}") == path


def test_a_damaged_copy_is_fetched_again(server, address, caplog):
    path = local_model(address)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert sha256_of(local_model(address)) == SUM
    assert f"{path} was damaged or changed since it was fetched; it is fetched again" in caplog.messages
    assert len(server.requests) == 2


def test_a_wrong_checksum_is_told_and_the_file_is_not_kept(server, cache):
    with pytest.raises(InputError, match=rf"m\.safetensors has SHA-256 {SUM}, not {OTHER_SUM};"):
        local_model(f"{server.url('m.safetensors')}#sha256={OTHER_SUM}")
    assert files_in(cache) == {"lock"}


@pytest.mark.parametrize("start", ["<!DOCTYPE html>", "\n<HTML lang='en'>", '<?xml version="1.0"?>\n<html>'])
def test_a_page_that_asks_to_log_in_is_told(server, cache, start):
    (server.folder / "m.safetensors").write_text(f"{start}<body>Sign in</body></html>")
    with pytest.raises(InputError, match=r"m\.safetensors: the server sent a web page, not the file, which may need a"):
        local_model(f"{server.url('m.safetensors')}#sha256={SUM}")
    assert files_in(cache) == {"lock"}


def test_a_missing_file_is_told(server, cache):
    with pytest.raises(InputError, match=r"none\.safetensors: the server answered 404 Not Found; check the address\."):
        local_model(f"{server.url('none.safetensors')}#sha256={SUM}")
    assert files_in(cache) == {"lock"}


def test_without_a_network_it_is_told(server, cache, address):
    server.close()
    with pytest.raises(InputError, match=r"connection broke \(Connection refused\).*check the address and the network"):
        local_model(address)


def test_a_file_that_is_no_model_is_told_by_its_address(server):
    (server.folder / "notes.txt").write_text("notes")
    address = f"{server.url('notes.txt')}#sha256={sha256_of(server.folder / 'notes.txt')}"
    for _ in range(2):
        with pytest.raises(InputError, match=rf"^{address}: .*model\.safetensors can't be read as a model file"):
            local_model(address)


def test_a_cache_that_can_not_be_written_is_told(address, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"can't be used \(Not a directory\), so the model can't be kept there; free"):
        local_model(address)


def test_a_model_is_fetched_to_a_given_path_without_the_cache(server, address, cache, tmp_path):
    fetch_model(address, tmp_path / "out/model.safetensors")
    assert sha256_of(tmp_path / "out/model.safetensors") == SUM
    assert not cache.exists()
    (server.folder / "notes.txt").write_text("notes")
    wrong = f"{server.url('notes.txt')}#sha256={sha256_of(server.folder / 'notes.txt')}"
    with pytest.raises(InputError, match=f"^{wrong}: "):
        fetch_model(wrong, tmp_path / "out/model.safetensors")


# Several processes


def start(address: str) -> subprocess.Popen:
    """A process that has imported all, and waits for a line before it gets a model and prints where."""
    code = (
        "import sys\nfrom ssp_model import fetch, log\nfrom ssp_model.models.store import local_model\n"
        "fetch.time.sleep = lambda _: None\nlog.log_to_terminal()\n"
        "print('ready', flush=True)\ninput()\nprint(local_model(sys.argv[1]))"
    )
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", code, address], cwd=PROJECT, text=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def let_go(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_processes_at_once_fetch_it_once(server, address, cache):
    stall = server.stall_after("m.safetensors", 100_000)
    with start(address) as first, start(address) as second:
        let_go(first)
        assert stall.reached.wait(60)
        let_go(second)
        assert second.stderr.readline() == "another process fetches this model; waiting for it\n"
        assert "model.safetensors" not in files_in(cache)
        stall.release.set()
        paths = {first.communicate()[0], second.communicate()[0]}
    assert (first.returncode, second.returncode) == (0, 0)
    assert paths == {f"{cache / SUM / 'model.safetensors'}\n"}
    assert sha256_of(cache / SUM / "model.safetensors") == SUM
    assert [request.status for request in server.requests] == [200, 206]
    assert files_in(cache) == {"model.safetensors", "lock"}


def test_a_killed_process_leaves_nothing_that_is_taken_for_whole(server, address, cache):
    stall = server.stall_after("m.safetensors", 100_000)
    with start(address) as process:
        let_go(process)
        assert stall.reached.wait(60)
        process.kill()
    assert "model.safetensors" not in files_in(cache)
    assert sha256_of(local_model(address)) == SUM
    assert files_in(cache) == {"model.safetensors", "lock"}


def test_where_files_can_not_be_locked_each_process_fetches_for_itself(address, cache, monkeypatch):
    fetched_to = []

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def note(source, version, target):
        fetched_to.append(target)
        download(source, version, target)

    download = store._download
    monkeypatch.setattr(store.fcntl, "flock", refuse)
    monkeypatch.setattr(store, "_download", note)
    assert sha256_of(local_model(address)) == SUM
    assert fetched_to[0].parent.parent == cache / SUM
    assert f".{os.getpid()}." in fetched_to[0].parent.name
    assert files_in(cache) == {"model.safetensors", "lock"}


# Buckets


@pytest.fixture
def bucket(store):
    """A bucket that holds the model as m.safetensors."""
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    bucket = boto3.resource("s3", endpoint_url=store, **keys).create_bucket(Bucket="models")
    bucket.upload_file(str(MODEL), "m.safetensors")
    return bucket


@pytest.fixture
def downloads(monkeypatch):
    """The objects that are downloaded."""
    made = []
    download = store.download_object

    def note(address, *arguments, **options):
        made.append(address)
        download(address, *arguments, **options)

    monkeypatch.setattr(store, "download_object", note)
    return made


def test_an_object_is_fetched_once(bucket, downloads, cache):
    path = local_model("s3://models/m.safetensors")
    assert sha256_of(path) == SUM
    assert local_model("s3://models/m.safetensors") == path
    assert downloads == ["s3://models/m.safetensors"]
    assert files_in(cache) == {"model.safetensors", "sha256", "lock"}


def test_an_object_that_changed_is_fetched_again(bucket, downloads, model):
    before = local_model("s3://models/m.safetensors")
    bucket.upload_file(str(model), "m.safetensors")
    after = local_model("s3://models/m.safetensors")
    assert after != before
    assert (read_info(after), read_info(before)) == (read_info(model), read_info(MODEL))
    assert len(downloads) == 2


def test_a_damaged_copy_of_an_object_is_fetched_again(bucket, downloads, caplog):
    path = local_model("s3://models/m.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert sha256_of(local_model("s3://models/m.safetensors")) == SUM
    assert any("was damaged or changed since it was fetched" in text for text in caplog.messages)
    assert len(downloads) == 2


def test_with_a_checksum_the_bucket_is_asked_only_once(bucket, downloads, cache, monkeypatch):
    path = local_model(f"s3://models/m.safetensors#sha256={SUM}")
    assert path == cache / SUM / "model.safetensors"
    monkeypatch.setattr(store, "find_version", None)
    assert local_model(f"s3://models/m.safetensors#sha256={SUM}") == path
    assert len(downloads) == 1


def test_a_wrong_checksum_of_an_object_is_told_and_the_file_is_not_kept(bucket, cache):
    with pytest.raises(InputError, match=rf"^s3://models/m\.safetensors has SHA-256 {SUM}, not {OTHER_SUM};"):
        local_model(f"s3://models/m.safetensors#sha256={OTHER_SUM}")
    assert files_in(cache) == {"lock"}
