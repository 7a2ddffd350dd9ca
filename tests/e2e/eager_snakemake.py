"""Snakemake, but it asks Slurm for the state of its jobs twice a second.

The executor waits 10 s longer after each time that no job has ended, up to 3 min. No option changes that, and the jobs
of the tests are short. Ctrl-C is held back while it asks, as the executor forgets to cancel the jobs that it asks for.
"""

import asyncio
import signal
import threading

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

POLL_EVERY_S = 0.5
PAUSING, INTERRUPTED = threading.Event(), threading.Event()


async def pause(executor: Executor) -> None:
    PAUSING.set()
    await asyncio.sleep(POLL_EVERY_S)
    # until its jobs are cancelled
    while INTERRUPTED.is_set() and executor.wait:
        await asyncio.sleep(POLL_EVERY_S)
    PAUSING.clear()


def interrupt(*_: object) -> None:
    INTERRUPTED.set()
    PAUSING.wait()
    raise KeyboardInterrupt


Executor.sleep = pause

if __name__ == "__main__":
    # tests that run in the background ignore Ctrl-C, and so would all that they start
    signal.signal(signal.SIGINT, interrupt)
    main()
