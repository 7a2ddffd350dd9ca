"""Time, memory and disk of each stage against the number of images, voxels or structures.

Simulates a small collection, then runs the whole workflow on it: once, then with 2, 4 and 8 times as many images (or
voxels an image, or structures), on two cores, with a network of width 2. Time is CPU time, as machines are shared,
sampled twice a second by Snakemake's benchmarks; half a second of each job is thus uncertain, and most of a small job
is its start. So it is the last doubling that is judged: where time grows with the images, it adds twice what the one
before added. Memory of a stage is that of its largest job, with the processes it starts.

    python benchmarks/growth.py                        # 8 to 64 images, 10 minutes
    python benchmarks/growth.py --by voxels --times 1 2 4
    python benchmarks/growth.py --by structures --times 1 2 4
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml
from tables import show

from ssp_model.simulation.simulate import PROTEINS, SimulationConfig, simulate_collection

PROJECT = Path(__file__).parents[1]
IMAGES, SIDE = 8, 96
"""Images a structure, and voxels of their sides, in the smallest run."""
SNAKEMAKE = """
import sys
import snakemake.benchmark
from snakemake.cli import main
snakemake.benchmark.BENCHMARK_INTERVAL = snakemake.benchmark.BENCHMARK_INTERVAL_SHORT
main(sys.argv[1:])
"""
FASTER = 2.8
"""The last doubling adds so many times what the one before added: it grows faster than the images."""
MORE_MEMORY = 1.2
PAGES = ["results/report/data.html", "results/report/growth/seed-0/scores.html"]
"""With more images only these pages of the report have more to do."""


def run(folder: Path, by: str, times: int) -> None:
    """Simulate a collection and run everything on it."""
    images = IMAGES * times if by == "images" else IMAGES
    side = round(SIDE * times**0.5) if by == "voxels" else SIDE
    # those whose images are candidates for DNA first
    structures = tuple(sorted(PROTEINS, key=lambda name: (name != "tom20", name))[: times if by == "structures" else 1])
    collection = SimulationConfig(structures=structures, images=images, shape_zyx=(16, side, side))
    simulate_collection(folder / "collection", collection, workers=2)
    share = images // IMAGES
    config = {
        "experiment": "growth",
        "structures": list(structures),
        "collection": {"archives": "collection/{structure}.tar.gz", "lists": "collection/lists/{structure}.csv"},
        "dna": {"quota": {"train": 3 * share, "val": share, "test": share}},
        "split": {"fit_fraction": 0.75},
        "model": {"width": 2},
        "train": {"patch": [16, 32, 32], "epochs": 4, "validate_every": 2},
        "evaluate": {"save_images": "all"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-c", SNAKEMAKE, "--cores", "2", "--quiet", "all", "--snakefile", PROJECT / "Snakefile"]
    command += ["--directory", folder, "--configfile", folder / "config.yaml"]
    command += ["--", *PAGES] if by == "images" else []
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(ran.stdout + ran.stderr)


def costs(folder: Path) -> pd.DataFrame:
    """What each stage took, from Snakemake's benchmarks: jobs, CPU s, peak MiB."""
    benchmarks = folder / "results/benchmarks"
    rows = []
    for path in benchmarks.rglob("*.tsv"):
        row = pd.read_csv(path, sep="\t").iloc[-1]
        # a job shorter than the first sample has none of the first and the last
        values = {"CPU s": row.cpu_time, "s": row.s, "peak MiB": row.max_rss}
        rows.append({"stage": path.relative_to(benchmarks).parts[0].removesuffix(".tsv"), "jobs": 1, **values})
    frame = pd.DataFrame(rows)
    columns = ["CPU s", "s", "peak MiB"]
    frame[columns] = frame[columns].apply(pd.to_numeric, errors="coerce")
    return frame.groupby("stage").agg({"jobs": "sum", "CPU s": "sum", "s": "sum", "peak MiB": "max"})


def disk(folder: Path) -> pd.DataFrame:
    """Size and number of the files in each folder of results, and of Snakemake's own records."""
    results = folder / "results"
    places = {"raw archives": folder / "collection", ".snakemake": folder / ".snakemake"}
    places |= {path.name: path for path in sorted(results.iterdir()) if path.is_dir()}
    rows = []
    for name, place in places.items():
        files = [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
        rows.append({"folder": name, "MB": sum(path.stat().st_size for path in files) / 1e6, "files": len(files)})
    return pd.DataFrame(rows).set_index("folder")


def side_by_side(parts: dict[int, pd.DataFrame], column: str) -> pd.DataFrame:
    """One column of each run."""
    return pd.DataFrame({f"x{times}": part[column] for times, part in parts.items()})


def last_doubling(frame: pd.DataFrame) -> pd.Series:
    """What the last doubling added, in multiples of what the one before added."""
    added = frame.diff(axis=1)
    return added.iloc[:, -1] / added.iloc[:, -2].where(added.iloc[:, -2] > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--by", choices=["images", "voxels", "structures"], default="images")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 2, 4, 8], help="each twice the one before")
    parser.add_argument("--folder", type=Path, help="where to run; a temporary folder without")
    arguments = parser.parse_args()
    stages, folders = {}, {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        for times in arguments.times:
            folder = Path(name) / f"x{times}"
            folder.mkdir()
            run(folder, arguments.by, times)
            stages[times], folders[times] = costs(folder), disk(folder)
    context = f"{arguments.by} x {', '.join(map(str, arguments.times))} from {IMAGES} images of 16x{SIDE}x{SIDE}, "
    context += f"seven channels, {os.cpu_count()} cores"
    cpu, memory, size = (
        side_by_side(parts, column) for parts, column in ((stages, "CPU s"), (stages, "peak MiB"), (folders, "MB"))
    )
    # jobs that start no faster than the samples come are left out
    cpu = cpu[cpu.iloc[:, -1] >= 1].sort_values(cpu.columns[-1], ascending=False)
    cpu["last doubling"] = last_doubling(cpu)
    # below a second more it is noise
    much = cpu.iloc[:, -2] - cpu.iloc[:, -3] > 1
    cpu["verdict"] = ((cpu["last doubling"] > FASTER) & much).map({True: "faster", False: ""})
    memory = memory.loc[cpu.index]
    memory["ratio"] = memory.iloc[:, -1] / memory.iloc[:, 0]
    memory["verdict"] = (memory.ratio > MORE_MEMORY).map({True: "grows", False: ""})
    size["ratio"] = size.iloc[:, -1] / size.iloc[:, 0]
    files = side_by_side(folders, "files").add_prefix("files ")
    show(f"growth_{arguments.by}_time", f"CPU s of a stage's jobs; {context}", cpu.reset_index())
    show(f"growth_{arguments.by}_memory", f"peak MiB of a stage's largest job; {context}", memory.reset_index())
    show(f"growth_{arguments.by}_disk", f"MB and files; {context}", size.join(files).reset_index())


if __name__ == "__main__":
    main()
