"""Snakemake that starts quickly: a process that has imported its libraries forks for each command.

It is a process of its own, as a user's, with the same code. Only the imports, which take most of the time of a plan,
are made once. This package is not among them, as some tests run a changed copy of it.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["snakemake.cli", "pandas", "pydantic", "requests", "yaml"])


def run_snakemake(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder, in this environment; `said` is all that it printed."""
    words = ["snakemake", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs) / name for name in ("stdout", "stderr")]
        process = FORKS.Process(target=_main, args=(words, str(folder), dict(os.environ), files))
        process.start()
        process.join()
        ran = subprocess.CompletedProcess(words, process.exitcode, *(file.read_text() for file in files))
    ran.said = ran.stdout + ran.stderr
    return ran


def _main(words: list[str], folder: str, environment: dict[str, str], files: Sequence[Path]) -> None:
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = words
    from snakemake.cli import main

    main()
