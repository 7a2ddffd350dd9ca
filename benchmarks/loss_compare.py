"""Check that two commits compute the same.

    python benchmarks/loss_compare.py COMMIT [COMMIT]

Runs the whole workflow on a tiny simulated collection at both commits, one thread in float32, each from a checkout of
its own, and asserts that datasets, losses, validation errors, weights, predictions and scores are equal to the bit.
The second commit is the working tree where it is left out. What a commit gave is kept under `results/benchmarks`.

`--but COLUMN` leaves out a score that was changed on purpose, and tells how far apart its values are.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import tifffile
import yaml
from safetensors.numpy import load_file

PROJECT = Path(__file__).parents[1]
KEPT = PROJECT / "results/benchmarks/loss_compare"
STRUCTURES = ["fibrillarin", "lamin_b1"]
COLLECTION = {"structures": STRUCTURES, "images": 6, "shape_zyx": [20, 112, 112], "seed": 0}
CONFIG = {
    "experiment": "compare",
    "structures": STRUCTURES,
    "collection": {"archives": "collection/{structure}.tar.gz", "lists": "collection/lists/{structure}.csv"},
    "dna": {"quota": {"train": 2, "val": 1, "test": 2}},
    "split": {"fit_fraction": 0.75},
    "model": {"width": 3},
    "train": {"patch": [16, 32, 32], "epochs": 12, "batch_size": 4, "validate_every": 4, "learning_rate": 1.0e-3,
              "precision": "float32"},
    "tracking": {"wandb": "disabled"},
    "evaluate": {"save_images": "all"},
}  # fmt: skip


def run(commit: str) -> Path:
    """Run the workflow at a commit (`.` for the working tree); returns the folder of its results."""
    if commit == ".":
        folder, source = KEPT / "working-tree", PROJECT
        shutil.rmtree(folder, ignore_errors=True)
    else:
        commit = git("rev-parse", "--short=12", commit)
        folder = KEPT / commit
        source = folder / "source"
        if (folder / "done").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        git("worktree", "prune")
        git("worktree", "add", "--detach", "--quiet", str(source), commit)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "collection.yaml").write_text(yaml.safe_dump(COLLECTION))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    ssp = [sys.executable, "-c", "from ssp_model.cli import app; app()"]
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", source / "Snakefile", "--configfile", "config.yaml"]
    with (folder / "log").open("w") as log:
        for command in (
            [*ssp, "simulate", "collection", "--config", "collection.yaml"],
            [*snakemake, "--cores", "1", "--workflow-profile", "none", "--", "evaluate"],
        ):
            print(f"{commit}: ssp simulate" if command[1] == "-c" else f"{commit}: snakemake evaluate", file=sys.stderr)
            subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=True)
    if source != PROJECT:
        git("worktree", "remove", "--force", str(source))
        (folder / "done").touch()
    return folder


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """All that was computed, by name."""
    results = folder / "results"
    found: dict[str, np.ndarray] = {}
    for path in sorted(results.glob("datasets/*.h5")):
        with h5py.File(path) as file:
            for group in ("signals", "targets"):
                found |= {f"{path.name} {group} {name}": volume[()] for name, volume in file[group].items()}
    events = (results / "models/compare/seed-0/events.jsonl").read_text().splitlines()
    steps = [event for event in map(json.loads, events) if event["event"] == "step"]
    found["losses"] = np.array([event["mse"] for event in steps])
    history = pd.read_csv(results / "models/compare/seed-0/history.csv")
    found |= {f"history {name}": history[name].to_numpy() for name in history if "mse" in name}
    weights = load_file(results / "models/compare/seed-0/model.safetensors")
    found |= {f"weights {name}": value for name, value in weights.items()}
    for path in sorted(results.glob("predictions/compare/seed-0/**/*.ome.tif")):
        found[f"prediction {path.parent.name} {path.name}"] = tifffile.imread(path)
    for table in ("per_image", "per_structure", "overall"):
        scores = pd.read_csv(results / f"evaluation/compare/seed-0/{table}.csv")
        numbers = scores.select_dtypes("number").drop(columns="seed", errors="ignore")
        found |= {f"{table} {name}": numbers[name].to_numpy() for name in numbers}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs="+", metavar="COMMIT")
    parser.add_argument("--but", action="append", default=[], metavar="COLUMN", help="a score changed on purpose")
    options = parser.parse_args()
    one, other = (arrays(run(commit)) for commit in [*options.commits, "."][:2])
    assert one.keys() == other.keys(), f"not in both: {sorted(one.keys() ^ other.keys())}"
    differing = [name for name in one if not np.array_equal(one[name], other[name], equal_nan=True)]
    on_purpose = [name for name in differing if any(name.split()[1].startswith(column) for column in options.but)]
    for name in differing:
        apart = np.nanmax(np.abs(np.subtract(one[name], other[name], dtype=np.float64)))
        print(f"{name}: up to {apart:.3g} apart{' (on purpose)' if name in on_purpose else ''}")
    steps, values = len(one["losses"]), sum(array.size for array in one.values())
    assert differing == on_purpose, "the two commits do not compute the same"
    print(f"Equal to the bit: {steps} losses and {len(one)} arrays of {values:,} numbers, {len(on_purpose)} left out.")


if __name__ == "__main__":
    main()
