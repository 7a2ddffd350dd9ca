"""The whole workflow with inputs and results in an S3 bucket, on a local server that answers as S3 does."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import boto3
import h5py
import pandas as pd
import pytest
import torch
from safetensors.torch import load, load_file

from ssp_model.files import sha256_of
from ssp_model.report.overview import STAGES
from tests.e2e.own_images import CONFIG as OWN_CONFIG
from tests.e2e.own_images import make_own_images, voxels
from tests.helpers import PROJECT, command, snakemake
from tests.httpserver import FileServer

pytestmark = pytest.mark.slow


class Bucket:
    """A bucket: keys and bytes."""

    def __init__(self, name: str, endpoint: str) -> None:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.bucket = boto3.resource("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=name)

    def put(self, key: str, path: Path) -> None:
        self.bucket.upload_file(path, key)

    def get(self, key: str) -> bytes:
        return self.bucket.Object(key).get()["Body"].read()

    def keys(self, prefix: str) -> set[str]:
        return {item.key for item in self.bucket.objects.filter(Prefix=prefix)}


@pytest.fixture(scope="module")
def lab(simulated, store):
    """A bucket with the collection in `raw/`. Its address and access keys are in the environment."""
    bucket = Bucket("lab", store)
    for path in (*simulated.glob("*.tar.gz"), *simulated.glob("lists/*.csv")):
        bucket.put(f"raw/{path.relative_to(simulated)}", path)
    return bucket


def in_bucket(*arguments: str, folder: str = "run") -> list[str]:
    profile = ["--workflow-profile", str(PROJECT / "profiles/s3")]
    return [*arguments, *profile, "--default-storage-prefix", f"s3://lab/{folder}"]


@pytest.fixture(scope="module")
def stored(finished, simulated, lab, tmp_path_factory):
    """The folder and the config of a run like `finished`, but with its files in the bucket."""
    archive = simulated / "tom20.tar.gz"
    config = finished[1] | {
        "collection": {
            "archives": "s3://lab/raw/{structure}.tar.gz",
            "lists": "s3://lab/raw/lists/{structure}.csv",
            "sha256": {"s3://lab/raw/tom20.tar.gz": sha256_of(archive)},
        }
    }
    folder = tmp_path_factory.mktemp("bucket")
    ran = snakemake(folder, config, *in_bucket())
    assert ran.returncode == 0, ran.said
    assert "results/evaluation/tiny/seed-0/overall.csv: r2" in ran.said
    return folder, config


def test_results_are_those_of_a_run_without_a_bucket(finished, stored, lab):
    results = finished[0] / "results"
    model = "models/tiny/seed-0/model.safetensors"
    there, here = load(lab.get(f"run/results/{model}")), load_file(results / model)
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in here)
    for table in ("per_image", "per_structure", "overall"):
        name = f"evaluation/tiny/seed-0/{table}.csv"
        assert lab.get(f"run/results/{name}") == (results / name).read_bytes()


def test_all_results_are_in_the_bucket(finished, stored, lab):
    """All but the files of the tracker and the checkpoint. Archives are read from the bucket, not copied."""
    paths = (str(path.relative_to(finished[0])) for path in (finished[0] / "results").rglob("*") if path.is_file())
    # and what other tests have made of the run
    elsewhere = re.compile("/wandb/|results/training/|/download_archive/|/compare")
    expected = {f"run/{path}" for path in paths if not elsewhere.search(path)}
    assert lab.keys("run/results/") ^ expected == set()
    assert not (stored[0] / "results/evaluation").exists()


def test_pages_show_the_same(finished, stored, lab):
    here = (finished[0] / "results/report/overview.html").read_text()
    there = lab.get("run/results/report/overview.html").decode()
    stages = (STAGES[rule] for rule in ("convert_images", "train_model", "evaluate_structure"))
    for text in ("None: every listed image could be used.", *stages):
        assert text in here
        assert text in there


def test_nothing_is_done_twice_from_any_machine(stored, tmp_path):
    folder, config = stored
    for place in (folder, tmp_path):
        assert "Nothing to be done" in snakemake(place, config, *in_bucket("all", "convert", "train", "evaluate")).said


def test_report(stored):
    folder, config = stored
    ran = snakemake(folder, config, *in_bucket("--report", "report.html"))
    assert ran.returncode == 0, ran.said
    html = (folder / "report.html").read_text()
    for name in ("Overview", "Data", "Training", "Scores", "Pictures", "volume viewer", "best, median, worst"):
        assert name in html


def test_compare_finds_other_runs_in_the_bucket(stored, lab):
    folder, config = stored
    for key in lab.keys("run/results/evaluation/tiny") | lab.keys("run/results/models/tiny"):
        content = lab.get(key)
        if key.endswith(".csv"):
            content = content.replace(b"tiny,", b"other,")
        lab.bucket.put_object(Key=key.replace("/tiny/", "/other/"), Body=content)
    ran = snakemake(folder, config, *in_bucket("compare"))
    assert ran.returncode == 0, ran.said
    assert "2 of 2 steps" in ran.said
    (folder / "compare.csv").write_bytes(lab.get("run/results/report/compare.csv"))
    runs = pd.read_csv(folder / "compare.csv")
    assert runs.experiment.tolist() == ["other", "tiny"]
    assert (runs.training_s > 0).all()


def test_a_stopped_training_goes_on(stored, lab):
    """Its checkpoint stays on this machine."""
    folder, config = stored
    config = config | {"experiment": "long", "train": config["train"] | {"epochs": 6, "validate_every": 1}}
    arguments = command(folder, config, *in_bucket("train"))
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, start_new_session=True
    ) as process:
        next(line for line in process.stdout if "epoch 1 of 6" in line)
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()
    assert (folder / "results/training/long/seed-0/checkpoint.pt").exists()
    assert not lab.keys("run/results/models/long")
    ran = snakemake(folder, config, *in_bucket("train"))
    assert ran.returncode == 0, ran.said
    assert "resuming at epoch" in lab.get("run/results/logs/train_model/long/seed-0.log").decode()
    assert lab.get("run/results/models/long/seed-0/history.csv").count(b"\n") == 1 + 6


def test_model_and_images_from_a_bucket(finished, stored, tmp_path):
    """The scores are written on this machine."""
    config = stored[1] | {
        "experiment": "elsewhere",
        "evaluate": {
            "model": "s3://lab/run/results/models/tiny/seed-0/model.safetensors",
            "test_set": "s3://lab/run/results/datasets/test.h5",
        },
    }
    scores = "results/evaluation/{}/seed-0/structures/tom20.csv"
    ran = snakemake(tmp_path, config, scores.format("elsewhere"))
    assert ran.returncode == 0, ran.said
    here, there = (tmp_path / scores.format("elsewhere")), (finished[0] / scores.format("tiny"))
    assert here.read_text().replace("elsewhere,", "tiny,") == there.read_text()


def test_wrong_archive_is_told_plainly(stored, tmp_path):
    collection = stored[1]["collection"]
    config = stored[1] | {"collection": collection | {"sha256": {"s3://lab/raw/tom20.tar.gz": "0" * 64}}}
    ran = snakemake(tmp_path, config, *in_bucket("results/volumes/tom20.h5", folder="wrong"))
    assert ran.returncode == 1
    assert "This job failed: s3://lab/wrong/results/logs/convert_images/tom20.log" in ran.said
    assert f"lab/raw/tom20.tar.gz: has SHA-256 {collection['sha256']['s3://lab/raw/tom20.tar.gz']}" in ran.said
    assert "Traceback" not in ran.said


def test_own_images_from_addresses(lab, tmp_path):
    """One image lies in a bucket, one on a web server, the others here."""
    make_own_images(tmp_path / "images")
    lab.put("own/plate0_0.czi", tmp_path / "images/plate0_0.czi")
    (tmp_path / "web").mkdir()
    shutil.move(tmp_path / "images/plate0_1.ome.tif", tmp_path / "web")
    with FileServer(tmp_path / "web") as server:
        table = tmp_path / "images/samples.csv"
        text = table.read_text(encoding="utf-16")
        text = text.replace("plate0_0.czi", "s3://lab/own/plate0_0.czi")
        text = text.replace("plate0_1.ome.tif", server.url("plate0_1.ome.tif"))
        table.write_text(text, encoding="utf-8")
        ran = snakemake(tmp_path, OWN_CONFIG, "convert")
    assert ran.returncode == 0, ran.said
    with h5py.File(tmp_path / "results/volumes/dots.h5") as file:
        sources = {group.attrs["image"]: group["signal"].attrs["mean"] for group in file.values()}
    assert len(sources) == 6
    assert sources["s3://lab/own/plate0_0.czi scene 0"] == pytest.approx(voxels(0)[0, 0].mean())
    assert sources[f"{server.url('plate0_1.ome.tif')} time 1"] == pytest.approx(voxels(1)[1, 0].mean())
