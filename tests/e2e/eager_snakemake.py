"""Snakemake, but it asks Slurm for the state of its jobs twice a second.

The executor waits 10 s longer after each time that no job has ended, up to 3 min. No option changes that, and the jobs
of the tests are short.
"""

import asyncio
import signal

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

POLL_EVERY_S = 0.5


async def pause(executor: Executor) -> None:
    await asyncio.sleep(POLL_EVERY_S)


Executor.sleep = pause

if __name__ == "__main__":
    # tests that run in the background ignore Ctrl-C, and so would all that they start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
