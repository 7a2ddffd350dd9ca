"""Pools of processes that do not outlive the process that made them."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def process_pool(number: int) -> ProcessPoolExecutor:
    """Return a pool of so many fresh processes, which end with this one, even if it is killed."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, mp_context=context, initializer=end_with_parent)


def end_with_parent() -> None:
    """End this process when its parent has ended.

    Processes of a pool would wait for work for ever, as each of them holds the queue of the others open.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
