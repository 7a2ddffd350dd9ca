"""Seconds that each script of the workflow, and `ssp`, take to import what they need; each in fresh processes.

On a busy machine look at the seconds of CPU time, which are about the seconds on an idle one.

python benchmarks/imports.py
python benchmarks/imports.py --repeats 9 --only evaluate_structure
"""

import argparse
import ast
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pandas as pd
from tables import show

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"
PREDICTS = {"evaluate_structure", "predict_composite", "predict_images"}
TRAINS = {"train_model"}
BARS_S = {"predicts": 2.5, "tables and pages": 1.5, "help": 0.4}
HELP = "import sys; sys.argv = ['ssp', '--help']; from ssp_model.cli import app; app()"
PREDICT = "import ssp_model.cli, ssp_model.config.read, ssp_model.prediction.batch"


def imports_of(script: Path) -> str:
    """Return the import statements of a script, wherever they stand."""
    statements = [
        node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return "\n".join(map(ast.unparse, statements))


def seconds(code: str) -> tuple[float, float]:
    """Return seconds, and those of CPU time, that some code takes in a fresh process, the start of Python apart."""
    timed = f"""import atexit, sys, time
started = time.perf_counter(), time.process_time()
atexit.register(lambda: print(time.perf_counter() - started[0], time.process_time() - started[1], file=sys.stderr))
{code}"""
    ran = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
    wall, cpu = map(float, ran.stderr.splitlines()[-1].split())
    return wall, cpu


def cases() -> dict[str, tuple[str, float | None]]:
    """Return by name what to run, and its bar."""
    found: dict[str, tuple[str, float | None]] = {
        "ssp --help": (HELP, BARS_S["help"]),
        "ssp predict": (PREDICT, BARS_S["predicts"]),
        "BioIO, when an image is opened": ("import bioio", None),
    }
    for script in sorted(SCRIPTS.glob("*.py")):
        bar = BARS_S["predicts" if script.stem in PREDICTS else "tables and pages"]
        found[script.stem] = imports_of(script), None if script.stem in TRAINS else bar
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of scripts")
    arguments = parser.parse_args()
    chosen = {name: case for name, case in cases().items() if not arguments.only or name in arguments.only}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    # in turn, so that a busy machine slows all alike; the first round fills the disk's cache
    for _ in range(arguments.repeats + 1):
        for name, (code, _) in chosen.items():
            measured[name].append(seconds(code))
    rows = []
    for name, (_, bar) in chosen.items():
        wall, cpu = map(statistics.median, zip(*measured[name][1:], strict=True))
        rows.append({"imports of": name, "s": wall, "CPU s": cpu, "bar, s": bar or float("nan")})
    load = os.getloadavg()[0]
    show("imports", f"median of {arguments.repeats}, {os.cpu_count()} cores, load {load:.1f}", pd.DataFrame(rows))


if __name__ == "__main__":
    main()
