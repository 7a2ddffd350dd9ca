"""Kill a workflow at random moments, do what a user is told to do, and compare the results with an undisturbed run.

`python -m tests.e2e.kills 20` does so twenty times. It took 15 minutes on two cores.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import psutil
import tifffile
from safetensors.numpy import load_file

from ssp_model.simulation.simulate import SimulationConfig, simulate_collection
from tests.helpers import command, snakemake, tiny

MEASURED = ["seconds", "crops_per_s", "peak_memory_mb"]
"""Columns of the history that differ from run to run."""
SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
MOST_JOBS = {"report": 15, "integrate": 10}
"""Jobs that have started when a run is killed, by its target."""
WHOLE_GROUP, WORKFLOW, JOB = "all processes", "snakemake", "a job"
"""What is killed: a closed terminal or an ended machine is all processes."""
ALL_WAYS = list(product(SIGNALS, [WHOLE_GROUP, WORKFLOW, JOB]))


def config_of(collection: Path) -> dict:
    """One structure, which goes through all stages."""
    config = tiny(str(collection / "{structure}.tar.gz"), str(collection / "lists/{structure}.csv"))
    return config | {"structures": ["tom20"], "dna": None}


def kill_once(folder: Path, config: dict, target: str, rng: random.Random, how: Sequence[tuple[int, str]]) -> str:
    """Run the workflow and kill it somewhere; return what was killed and when, or nothing if it ended before."""
    number, victim = rng.choice(how)
    jobs_left, job = rng.randint(1, MOST_JOBS[target]), ""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command(folder, config, target), cwd=folder, start_new_session=True, **pipes) as ran:
        for line in ran.stdout:
            if found := re.match(r"Job \d+: (.*)", line):
                job, jobs_left = found[1], jobs_left - 1
            if not jobs_left:
                break
        time.sleep(rng.uniform(0, 3))
        victim = _kill(ran.pid, number, victim) if ran.poll() is None else ""
        ran.stdout.read()
    _wait_for_orphans(folder)
    return victim and f"{number.name} to {victim} in {job!r}"


def _kill(pid: int, number: int, victim: str) -> str:
    """Send a signal; return who got it."""
    scripts = [
        it for it in psutil.Process(pid).children(recursive=True) if ".snakemake/scripts" in " ".join(it.cmdline())
    ]
    if victim == JOB and scripts:
        scripts[0].send_signal(number)
    elif victim == WHOLE_GROUP:
        os.killpg(pid, number)
    else:
        victim = WORKFLOW
        os.kill(pid, number)
    return victim


def _wait_for_orphans(folder: Path) -> None:
    """Wait for jobs that live on without their workflow, as a user does who looks."""
    for process in psutil.process_iter(["cmdline"]):
        if f"{folder}/.snakemake/scripts" in " ".join(process.info["cmdline"] or []):
            psutil.wait_procs([process], timeout=60)


def finish(folder: Path, config: dict, target: str) -> bool:
    """Run the same command, and the one that its message names; return whether the folder was locked."""
    ran = snakemake(folder, config, target)
    is_locked = "It can be removed with the --unlock argument" in ran.said
    if is_locked:
        assert snakemake(folder, config, "--unlock").returncode == 0
        ran = snakemake(folder, config, target)
    assert ran.returncode == 0, ran.said
    assert "Traceback" not in ran.said
    return is_locked


def content(folder: Path) -> dict[str, object]:
    """What a run computed, by the name of the file."""
    results = folder / "results"
    found: dict[str, object] = {
        str(path.relative_to(results)): True
        for path in results.rglob("*")
        if path.is_file()
        and not {"logs", "benchmarks", "wandb", "training", "raw"} & set(path.relative_to(results).parts)
    }
    for name in found:
        path = results / name
        if path.name == "history.csv":
            found[name] = pd.read_csv(path).drop(columns=MEASURED).to_csv()
        elif path.suffix == ".csv":
            found[name] = path.read_text()
        elif path.suffix == ".safetensors":
            found[name] = {key: value.tobytes() for key, value in load_file(path).items()}
        elif path.suffix == ".h5":
            found[name] = _stored(path)
        elif path.suffix == ".tif":
            found[name] = tifffile.imread(path).tobytes()
    return found


def _stored(path: Path) -> dict[str, object]:
    """Arrays and attributes of an HDF5 file; the attributes of the file itself tell of its config."""
    found: dict[str, object] = {}

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        found[f"{name} attributes"] = {key: str(value) for key, value in item.attrs.items()}
        if isinstance(item, h5py.Dataset):
            found[name] = item.asstr()[()].tolist() if item.dtype.kind == "O" else np.asarray(item[()]).tobytes()

    with h5py.File(path) as file:
        file.visititems(add)
    return found


def kill_and_compare(
    folder: Path,
    config: dict,
    wanted: dict[str, object],
    *,
    target: str,
    rng: random.Random,
    how: Sequence[tuple[int, str]] = ALL_WAYS,
) -> str:
    """Kill a run once, finish it, and compare the folders of results that are wanted; return what was killed."""
    killed = ""
    while not killed:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        killed = kill_once(folder, config, target, rng, how)
    if finish(folder, config, target):
        killed += ", and unlocked"
    folders = {Path(name).parts[0] for name in wanted}
    found = {name: it for name, it in content(folder).items() if Path(name).parts[0] in folders}
    differing = [name for name in {*found, *wanted} if found.get(name) != wanted.get(name)]
    assert not differing, f"{killed}: {sorted(differing)}"
    return killed


def main(kills: int) -> None:
    """Kill so many runs, each once, and tell of each."""
    rng, told = random.Random(0), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        collection, undisturbed = Path(name, "collection"), Path(name, "undisturbed")
        simulate_collection(collection, SimulationConfig(structures=("tom20",), images=6, shape_zyx=(16, 96, 96)))
        undisturbed.mkdir()
        finish(undisturbed, config_of(collection), "report")
        wanted = content(undisturbed)
        for number in range(1, kills + 1):
            killed = kill_and_compare(Path(name, "run"), config_of(collection), wanted, target="report", rng=rng)
            told[killed.split()[0]] += 1
            print(f"{number:3} equal after {killed}", flush=True)
    print(f"{kills} of {kills} runs end equal to the undisturbed one ({len(wanted)} files); signals: {dict(told)}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
