"""Scratch folders, and what killed processes left of them."""

import os
import socket
import subprocess
import sys

import pytest

from ssp_model.scratch import scratch_folder


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_only_scraps_of_dead_processes_of_this_host_are_removed(tmp_path):
    host, dead, alive = socket.gethostname(), dead_process(), os.getppid()
    names = [f".part.{host}.{dead}.a", f".part.elsewhere.{dead}.a", f".part.{host}.{alive}.a", f".part.{host}.x"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "volumes").touch()
    with scratch_folder(".part", tmp_path) as scratch:
        (scratch / "file").touch()
        assert scratch.name.startswith(f".part.{host}.{os.getpid()}.")
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])


def test_scratch_is_removed_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), scratch_folder(".part", tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
