"""What is kept on disk meanwhile."""

import os
import signal
import subprocess
import sys
import tempfile

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssp_model.prediction.scratch import StoredVolume, Volumes, stopped_in_a_sentence
from ssp_model.scratch import scratch_folder

SHAPE = (3, 4, 5)


@given(axis=st.integers(0, 2), ends=st.tuples(st.integers(0, 6), st.integers(0, 6)))
def test_a_stored_volume_is_read_and_written_as_an_array(axis, ends):
    part = tuple(slice(*sorted(ends)) if a == axis else slice(None) for a in range(3))
    array = np.arange(60, dtype=np.float32).reshape(SHAPE)
    with tempfile.TemporaryFile(buffering=0) as file:
        stored = StoredVolume(file, 8, SHAPE, np.dtype(np.float32))
        stored[:] = array
        other = StoredVolume(file, 8 + array.nbytes, SHAPE, np.dtype(np.float32))
        other[:] = negative = -array
        np.testing.assert_array_equal(stored[part], array[part])
        np.testing.assert_array_equal(stored[part[: axis + 1]], array[part])
        array[part] *= -1
        stored[part] = array[part]
        stored[1] = array[1]
        np.testing.assert_array_equal(stored[:], array)
        np.testing.assert_array_equal(stored[2], array[2])
        np.testing.assert_array_equal(other[:], negative)


def test_volumes_are_in_memory_as_long_as_they_fit(tmp_path):
    with Volumes(tmp_path, memory=300) as volumes:
        assert isinstance(volumes.place("a", SHAPE, np.dtype(np.float32)), np.ndarray)
        stored = volumes.place("b", SHAPE, np.dtype(np.float32))
        assert isinstance(stored, StoredVolume)
        # the same place again, not a second one
        assert volumes.place("b", SHAPE, np.dtype(np.float32)) is stored
    assert list(tmp_path.iterdir()) == []


def test_many_volumes_need_few_open_files(tmp_path):
    num_open = psutil.Process().num_fds()
    with Volumes(tmp_path, memory=0) as volumes:
        for time in range(20):
            volumes.place(f"{time} raw", SHAPE, np.dtype(np.uint16))[:] = np.full(SHAPE, time)
        assert psutil.Process().num_fds() == num_open + 1
        assert all((volumes[f"{time} raw"][:] == time).all() for time in range(20))


def test_a_full_disk_is_an_error_that_can_be_caught(tmp_path):
    """In a process of its own, as HDF5 or a memory map would end it."""
    code = """
import resource, sys
import numpy as np
from ssp_model.prediction.scratch import StoredVolume
volume = StoredVolume(open(sys.argv[1], "w+b", buffering=0), 0, (4, 64, 64), np.dtype(np.float32))
resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, 2**15))
try:
    for z in range(4):
        volume[z] = np.ones((64, 64))
except OSError as error:
    print(error.errno, z)
"""
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=True)
    assert ran.stdout == "27 2\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_in_a_sentence_after_the_clean_up(tmp_path, caplog, number, status):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as raised, stopped_in_a_sentence(), scratch_folder(".part", tmp_path):
        os.kill(os.getpid(), number)
    assert raised.value.code == status
    assert caplog.messages == [
        f"Stopped by {number.name}; finished predictions are kept, run the same command again for the rest."
    ]
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) == before
