"""Snakemake that starts quickly: a process that has imported its libraries forks for each command.

It is a process of its own, as a user's, with the same code. Only the imports, which take most of the time of a plan,
are made once. This package is not among them, as some tests run a changed copy of it.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path


def run_snakemake(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder, in this environment; `said` is all that it printed."""
    words = ["snakemake", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs) / name for name in ("stdout", "stderr")]
        server = _server()
        request = [words, str(folder), dict(os.environ), [str(file) for file in files]]
        print(json.dumps(request), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        ran = subprocess.CompletedProcess(words, code, *(file.read_text() for file in files))
    ran.said = ran.stdout + ran.stderr
    return ran


@cache
def _server() -> subprocess.Popen:
    # -P, as this folder is no place to import from
    return subprocess.Popen(
        [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def _serve() -> None:
    """Fork for each request, and answer with the exit code; return in the fork."""
    for line in sys.stdin:
        words, folder, environment, files = json.loads(line)
        if pid := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            continue
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None
        sys.argv = words
        return
    sys.exit()


if __name__ == "__main__":
    import pandas  # noqa: F401
    import pydantic  # noqa: F401
    import requests  # noqa: F401
    from snakemake.cli import main

    _serve()
    main()
