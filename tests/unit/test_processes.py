"""Pools of processes."""

import subprocess
import sys

import psutil

SCRIPT = """
import os
import time
from ssp_model.processes import process_pool

if __name__ == "__main__":
    with process_pool(2) as pool:
        # one that waits for work, and one that works
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600)
        time.sleep(600)
"""


def test_a_pool_ends_with_the_process_that_is_killed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen([sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, text=True) as ran:
        assert int(ran.stdout.readline())
        workers = psutil.Process(ran.pid).children(recursive=True)
        ran.kill()
        # also what watches over shared memory, and whoever holds the output open
        assert ran.stdout.read() == ""
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
