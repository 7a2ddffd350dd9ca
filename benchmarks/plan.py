"""Time and memory of planning: `snakemake -n` with 12, 100 and 1,000 structures.

python benchmarks/plan.py              # a run not yet begun, and one of which everything is done
python benchmarks/plan.py --structures 12 100
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml
from tables import show

PROJECT = Path(__file__).parents[1]
SNAKEMAKE = [Path(sys.executable).with_name("snakemake"), "--snakefile", PROJECT / "Snakefile", "--quiet", "rules"]


def command(folder: Path, *arguments: str) -> list[str | Path]:
    return [*SNAKEMAKE, "--directory", folder, "--configfile", folder / "config.yaml", *arguments]


def configure(folder: Path, structures: int) -> None:
    """The full job, of so many structures."""
    folder.mkdir()
    names = [f"structure_{number:04d}" for number in range(structures)]
    addresses = {kind: f"/data/{{structure}}.{kind}" for kind in ("archives", "lists")}
    config = {"structures": names, "collection": {**addresses, "sha256": {}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def pretend_all_is_done(folder: Path) -> None:
    """Empty files for all outputs, and Snakemake's notes on the jobs that made them."""
    summary = subprocess.run(command(folder, "--summary"), capture_output=True, text=True, check=True).stdout
    for path in (folder / line.split("\t")[0] for line in summary.splitlines() if line.startswith("results/")):
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
    for path in (folder / "results/raw").glob("*"):
        path.unlink()
    for path in folder.glob("results/evaluation/*/*/overall.csv"):
        path.write_text("mean_over,images,r2,mse,mae\nimages,1,0,0,0\n")
    subprocess.run(command(folder, "--touch", "--cores", "1"), capture_output=True, check=True)


def plan(folder: Path) -> dict[str, float]:
    """What a dry run takes."""
    started = time.perf_counter()
    with subprocess.Popen(
        command(folder, "-n"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = process.stdout.read()
        # of this process, not the largest of all so far
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    total = re.search(r"^total +(\d+)$", said, re.MULTILINE)
    return {
        "jobs to do": int(total[1]) if total else 0,
        "s": time.perf_counter() - started,
        "CPU s": usage.ru_utime + usage.ru_stime,
        "peak MiB": usage.ru_maxrss / 2**10,
    }


def main() -> None:
    """Print all sizes, before and after the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, nargs="+", default=[12, 100, 1000])
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for structures in arguments.structures:
            folder = Path(temporary) / str(structures)
            configure(folder, structures)
            rows.append({"structures": structures, "run": "not begun", **plan(folder)})
            pretend_all_is_done(folder)
            rows.append({"structures": structures, "run": "done", **plan(folder)})
    table = pd.DataFrame(rows)
    table["ms a structure"] = table["s"] / table["structures"] * 1000
    show("plan", f"snakemake -n, {os.cpu_count()} cores", table)


if __name__ == "__main__":
    main()
