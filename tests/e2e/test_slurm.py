"""The workflow on a real Slurm of two virtual nodes, with the profile of the project."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.e2e.own_images import CONFIG as OWN_CONFIG
from tests.e2e.own_images import STRUCTURES, make_own_images
from tests.helpers import PROJECT, tiny

SCRIPT = Path(__file__).with_name("slurm.sh")
SNAKEMAKE = [sys.executable, Path(__file__).with_name("eager_snakemake.py")]
NEEDED = ("munged", "slurmctld", "slurmd", "srun", "sbatch")
ON_GPU = ("train_model", "evaluate_structure", "predict_composite")
LOCAL_RULES = {"download_list", "tabulate_samples", "check_images", "split_structure", "split_dna", "summarise_scores"}
TARGETS = ("evaluate", "results/predictions/tiny/seed-0/composite.ome.tif", "results/report/data.html")
"""Every kind of job. One page stands for all pages, as a job takes seconds to start."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm():
    """A Slurm that the tests start, in the environment of all that they run."""
    if os.geteuid() != 0:
        pytest.skip("starting a Slurm takes root")
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: tests/e2e/slurm.sh install")
    if Path("/etc/slurm/slurm.conf").exists():
        pytest.skip("this machine belongs to a Slurm already: /etc/slurm/slurm.conf")
    # not pytest's folder, which is closed to other users: munge's socket must not be
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
        # virtual nodes have no names that lead anywhere
        patch.setenv("MASTER_ADDR", "127.0.0.1")
        try:
            subprocess.run([SCRIPT, "start", folder], check=True)
            yield
        finally:
            subprocess.run([SCRIPT, "stop", folder], check=True)


@pytest.fixture(scope="module")
def run(slurm, simulated, tmp_path_factory):
    """The folder of a run, with its configuration."""
    folder = tmp_path_factory.mktemp("run")
    configure(folder, simulated, "tiny", {"epochs": 60, "validate_every": 20})
    return folder


def configure(folder: Path, simulated: Path, experiment: str, train: dict) -> None:
    config = tiny(f"{simulated}/{{structure}}.tar.gz", f"{simulated}/lists/{{structure}}.csv")
    config |= {"experiment": experiment, "train": config["train"] | train, "tracking": {"wandb": "disabled"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def command(folder: Path, *arguments: str) -> list[str | Path]:
    profile = ["--workflow-profile", PROJECT / "profiles/slurm"]
    threads = ["--set-threads", *(f"{rule}=1" for rule in ("convert_images", "train_model", "evaluate_structure"))]
    files = ["--snakefile", PROJECT / "Snakefile", "--directory", folder, "--configfile", folder / "config.yaml"]
    return [*SNAKEMAKE, *arguments, *files, *profile, *threads]


def snakemake(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(command(folder, *arguments), capture_output=True, text=True, check=False, cwd=folder)
    return ran.stdout + ran.stderr


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    with (folder / "said.log").open("w") as said:
        return subprocess.Popen(command(folder, *arguments), stdout=said, stderr=said, cwd=folder)


def wait_for(text: str, log: Path) -> None:
    """Read a log as it grows, until it says something."""
    follow = ["timeout", "240", "tail", "--lines=+1", "--follow=name", "--retry", log]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
        said = next((line for line in tail.stdout if text in line), None)
        tail.terminate()
    assert said, f"{log} does not say {text!r}"


def jobs_of_slurm() -> list[dict[str, str]]:
    """What Slurm knows of each job, by its own names."""
    shown = subprocess.run(["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True).stdout
    return [dict(re.findall(r"(\w+(?::\w+)?)=(\S*)", line)) for line in shown.splitlines()]


def of_rule(jobs: list[dict[str, str]], rule: str) -> list[dict[str, str]]:
    return [job for job in jobs if f"rule_{rule}_" in job.get("Comment", "") or f"/rule_{rule}/" in job["StdOut"]]


def train_here(run: Path, name: str) -> Path:
    """Train as configured, without Slurm; returns the folder of the results."""
    ssp = Path(sys.executable).parent / "ssp"
    datasets = [run / f"results/datasets/{split}.h5" for split in ("train", "val")]
    configs = ["--config", PROJECT / "config.yaml", "--config", run / "config.yaml"]
    subprocess.run([ssp, "train", *datasets, run / name, *configs], check=True)
    return run / name


def test_whole_pipeline(run):
    """Conversions exceed their first memory limit, and a training makes room for somebody else's job."""
    log = run / "results/logs/train_model/tiny/seed-0.log"
    # in place of those in the profile
    partitions = [f"{rule}:slurm_partition=gpu" for rule in ON_GPU]
    process = start(run, *TARGETS, "--set-resources", "convert_images:mem_mb=200*attempt**2", *partitions)
    wait_for("epoch 20 of 60", log)
    subprocess.run(
        ["sbatch", "--partition=urgent", "--gpus=1", "--mem=10", "--wait", "--output=/dev/null", "--wrap=true"],
        check=True,
    )
    code, said = process.wait(), (run / "said.log").read_text()
    assert code == 0, said
    assert all((run / path).exists() for path in TARGETS[1:])

    submitted = re.findall(r"has been submitted with SLURM jobid (\d+)", said)
    jobs = [job for job in jobs_of_slurm() if job["JobId"] in submitted]
    assert len(jobs) == len(submitted)
    assert not any(of_rule(jobs, rule) for rule in LOCAL_RULES)

    for structure in ("fibrillarin", "tom20"):
        tries = [job for job in of_rule(jobs, "convert_images") if f"/{structure}/" in job["StdOut"]]
        assert [(job["MinMemoryNode"], job["JobState"]) for job in tries] == [
            ("200M", "FAILED"),
            ("800M", "COMPLETED"),
        ]
        assert "exceeded memory limit" in Path(tries[0]["StdOut"]).read_text()
    others = [job for job in jobs if job not in of_rule(jobs, "convert_images")]
    assert {job["JobState"] for job in others} == {"COMPLETED"}

    on_gpu = [job for job in jobs if "gpu" in job.get("TresPerJob", "")]
    assert len(on_gpu) == 1 + 3 + 1
    assert {job["Partition"] for job in on_gpu} == {"gpu"}
    times = [[np.datetime64(job[name]) for name in ("StartTime", "EndTime")] for job in on_gpu]
    for (start_a, end_a), (start_b, end_b) in combinations(times, 2):
        assert end_a <= start_b or end_b <= start_a

    (training,) = of_rule(jobs, "train_model")
    assert training["Restarts"] == "1"
    assert "resuming at epoch" in log.read_text()
    weights, wanted = (
        load_file(folder / "model.safetensors")
        for folder in (run / "results/models/tiny/seed-0", train_here(run, "uninterrupted"))
    )
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_workflow_is_interrupted_then_killed(run, simulated):
    """Ctrl-C cancels the jobs. A killed workflow leaves its job, which ends well, and nothing is lost."""
    configure(run, simulated, "stopped", {"epochs": 360, "validate_every": 20})
    log, state = (
        run / "results/logs/train_model/stopped/seed-0.log",
        run / "results/training/stopped/seed-0/checkpoint.pt",
    )
    process = start(run, "train")
    wait_for("epoch 20 of 360", log)
    process.send_signal(signal.SIGINT)
    assert process.wait() != 0
    wait_for("stopped by SIGTERM", log)
    assert state.exists()

    process = start(run, "train")
    wait_for("resuming at epoch", log)
    process.kill()
    process.wait()
    (orphan,) = [job for job in of_rule(jobs_of_slurm(), "train_model") if job["JobState"] == "RUNNING"]
    assert "cannot be locked" in snakemake(run, "train")
    assert "Unlocked" in snakemake(run, "train", "--unlock")
    # its place in the queue is behind that job, and what that one has made is taken over
    said = snakemake(run, "train")
    assert "2 of 2 steps (100%) done" in said, said
    (ended,) = [job for job in jobs_of_slurm() if job["JobId"] == orphan["JobId"]]
    assert ended["JobState"] == "COMPLETED"
    assert "this training has finished before" in log.read_text()
    assert pd.read_csv(run / "results/models/stopped/seed-0/history.csv").epoch.tolist() == list(range(1, 361))
    assert "Nothing to be done" in snakemake(run, "train")


def test_two_nodes_give_the_curve_of_one(run, simulated):
    same = {"epochs": 3, "validate_every": 1, "learning_rate": 1e-5, "precision": "float32"}
    configure(run, simulated, "one-node", same)
    one = pd.read_csv(train_here(run, "one-node") / "history.csv")
    configure(run, simulated, "two-nodes", same)
    # the GPU is on one of them only
    two_nodes = ("nodes=2", "tasks=2", "tasks_per_gpu=0", "mpi=srun", "gpu=0", "slurm_partition=cpu")
    said = snakemake(run, "train", "--set-resources", *(f"train_model:{resource}" for resource in two_nodes))
    assert "2 of 2 steps (100%) done" in said, said
    two = pd.read_csv(run / "results/models/two-nodes/seed-0/history.csv")
    log = (run / "results/logs/train_model/two-nodes/seed-0.log").read_text()
    # started once, as one training of two processes
    assert log.count("RepMode (width") == log.count("CPU, 1 thread x 2 (node1, node2)") == 1
    (job,) = of_rule(jobs_of_slurm(), "train_model")[-1:]
    assert (job["NumNodes"], job["NumTasks"]) == ("2", "2")
    for column in [name for name in one if "mse" in name]:
        np.testing.assert_allclose(two[column], one[column], rtol=1e-5, err_msg=column)


def test_experiments_of_a_benchmark(run, simulated):
    """Networks that are trained alone, and a model that is extended after the one that it extends."""
    configure(run, simulated, "compared", {"epochs": 2, "validate_every": 1})
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["benchmark"] = {"methods": ["multi_net"], "ablations": [], "increments": ["fibrillarin"]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    cells = {"multi_net": 3, "multi_head_decoder_extended_fibrillarin": 1}
    targets = [f"results/evaluation/compared-{cell}/seed-0/overall.csv" for cell in cells]
    said = snakemake(run, *targets, "results/costs/compared-multi_net.csv")
    assert all((run / path).exists() for path in targets), said
    submitted = re.findall(r"has been submitted with SLURM jobid (\d+)", said)
    jobs = [job for job in jobs_of_slurm() if job["JobId"] in submitted]
    counts = {
        rule: len(of_rule(jobs, rule))
        for rule in ("train_model", "train_structure", "join_models", "evaluate_structure", "measure_cost")
    }
    assert counts == {
        "train_model": 2,
        "train_structure": 3,
        "join_models": 1,
        "evaluate_structure": sum(cells.values()),
        "measure_cost": 1,
    }
    assert {job["Partition"] for job in jobs if "gpu" in job.get("TresPerJob", "")} == {"gpu"}
    assert not any("gpu" in job.get("TresPerJob", "") for job in of_rule(jobs, "join_models"))


def test_own_images(slurm, tmp_path):
    make_own_images(tmp_path / "images")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(OWN_CONFIG | {"tracking": {"wandb": "disabled"}}))
    said = snakemake(tmp_path, "evaluate")
    scores = tmp_path / "results/evaluation/own/seed-0/per_structure.csv"
    assert scores.exists(), said
    assert pd.read_csv(scores).structure.tolist() == list(STRUCTURES)
    ours = [job for job in jobs_of_slurm() if str(tmp_path) in job["StdOut"] + job.get("WorkDir", "")]
    assert len(of_rule(ours, "preflight_samples")) == 1
    assert len(of_rule(ours, "convert_images")) == len(STRUCTURES)
