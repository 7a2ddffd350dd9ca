"""Time and memory of planning a run of 12, 100 and 1,000 structures, new and finished, and of bringing one to its end.

Lists and archives need not be there to plan. A finished run is made of empty files that are then touched as one: so
every job is scheduled and recorded, and none computes. The jobs then start, plan and record as in a real run, which
shows what the scheduler itself costs; `--no-touch` leaves that out, and with it the plan of a finished run. Time is
CPU time, as machines are shared; a second plan of the same size differs by some percent.

    python benchmarks/plan.py                        # 5 minutes, most of them touching 1,000 structures
    python benchmarks/plan.py --structures 12 100 1000 --no-touch
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml
from tables import show

PROJECT = Path(__file__).parents[1]
# a touched job else pauses, so that files differ in age
SNAKEMAKE = """
import sys
import snakemake.executors.touch
from snakemake.cli import main
snakemake.executors.touch.Executor.SLEEPING_TIME = 0
main(sys.argv[1:])
"""
SCORES = "mean_over,images,r2,mse,mae\nimages,1,0,0,0\n"
"""Told of at the end of a run."""


def snakemake(folder: Path, *arguments: str) -> tuple[str, dict[str, float]]:
    """What Snakemake says, and what it took."""
    command = ["-c", SNAKEMAKE, "--snakefile", PROJECT / "Snakefile", "--directory", folder, *arguments]
    command += ["--configfile", folder / "config.yaml"]
    said = folder / "said.txt"
    started = time.perf_counter()
    with said.open("w") as file:
        files = [(os.POSIX_SPAWN_DUP2, file.fileno(), number) for number in (1, 2)]
        pid = os.posix_spawn(sys.executable, [sys.executable, *map(str, command)], os.environ, file_actions=files)
        _, status, usage = os.wait4(pid, 0)
    seconds, text = time.perf_counter() - started, said.read_text()
    if status:
        raise SystemExit(f"{' '.join(map(str, arguments))} failed:\n{text[-2000:]}")
    return text, {"s": seconds, "CPU s": usage.ru_utime + usage.ru_stime, "peak MiB": usage.ru_maxrss / 2**10}


def make_outputs(folder: Path) -> int:
    """An empty file or folder for each output of each rule; returns how many."""
    outputs = re.findall(r"^(results/\S+)\t", snakemake(folder, "--summary")[0], re.MULTILINE)
    for path in (folder / output for output in outputs):
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(SCORES if path.name == "overall.csv" else "")
        else:
            path.mkdir(parents=True)
    return len(outputs)


def measure(structures: int, *, touch: bool) -> list[dict[str, object]]:
    """The plans of so many structures."""
    config = {
        "structures": [f"structure_{number:05d}" for number in range(structures)],
        "collection": {"archives": "/nowhere/{structure}.tar.gz", "lists": "/nowhere/{structure}.csv"},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        told, cost = snakemake(folder, "--dry-run", "--quiet", "rules")
        jobs = int(re.findall(r"^total +(\d+)$", told, re.MULTILINE)[-1])
        rows = [{"structures": structures, "what": "plan, nothing there", "jobs": jobs, **cost}]
        if touch:
            make_outputs(folder)
            _, cost = snakemake(folder, "--touch", "--forceall", "--cores", "2", "--quiet", "all")
            rows.append({"structures": structures, "what": "schedule and record", "jobs": jobs, **cost})
            told, cost = snakemake(folder, "--dry-run", "--quiet", "rules")
            assert "Nothing to be done" in told, told
            rows.append({"structures": structures, "what": "plan, all there", "jobs": jobs, **cost})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, nargs="+", default=[12, 100, 1000])
    parser.add_argument("--no-touch", action="store_true")
    arguments = parser.parse_args()
    rows = [row for count in sorted(arguments.structures) for row in measure(count, touch=not arguments.no_touch)]
    frame = pd.DataFrame(rows).sort_values(["what", "structures"], kind="stable")
    # between one size and the next, as each also pays for the start of Snakemake
    further = frame.groupby("what")[["CPU s", "jobs"]].diff()
    frame["ms a further job"] = further["CPU s"] / further["jobs"] * 1e3
    show("plan", f"planning by Snakemake, {os.cpu_count()} cores", frame)


if __name__ == "__main__":
    main()
