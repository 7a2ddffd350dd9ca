"""The whole workflow on tiny data, from a local web server."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile
import yaml

from ssp_model.models.model_file import load_model, read_info
from tests.helpers import GOLDEN, PROJECT, command, copy_project, snakemake, tiny
from tests.httpserver import FileServer

pytestmark = pytest.mark.slow
AFTER_INTEGRATION = [
    *("all", "report", "train_model", "evaluate_structure", "summarise_scores", "predict_composite"),
    *("overview_page", "data_page", "training_page", "scores_page", "trust_page", "structure_page", "composite_page"),
    "model_card_page",
]


def test_all_stages_left_their_results(finished):
    folder, _, _ = finished
    results = folder / "results"
    info = read_info(results / "models/tiny/seed-0/model.safetensors")
    assert info.structures == ("dna", "fibrillarin", "tom20")
    assert info.voxel_size_um == pytest.approx((0.29, 0.29089, 0.29089), rel=1e-4)
    assert info.preprocess["scale"] == [1, 0.37241, 0.37241]
    load_model(results / "models/tiny/seed-0/model.safetensors")
    history = pd.read_csv(results / "models/tiny/seed-0/history.csv")
    assert history.epoch.tolist() == [1, 2]
    assert history.val_mse.notna().tolist() == [False, True]


def test_splits_volumes_and_datasets_are_those_of_version_0_1(finished):
    found = describe_data(finished[0] / "results")
    wanted = (GOLDEN / "data.txt").read_text().splitlines()
    assert [line.split()[:3] for line in found] == [line.split()[:3] for line in wanted]
    for one, other in zip(found, wanted, strict=True):
        # mean, deviation and a weighted mean; the last digits differ from one machine to another
        numbers = [[float(word) for word in line.split()[3:]] for line in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], abs=2e-5), one


def describe_data(results: Path) -> list[str]:
    """Checksums of the splits; shapes and statistics of the volumes and datasets."""
    splits = sorted((results / "splits").rglob("*.csv"))
    lines = [f"{path.relative_to(results)} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}" for path in splits]
    for path in sorted([*(results / "volumes").glob("*.h5"), *(results / "datasets").glob("*.h5")]):
        with h5py.File(path) as file:
            for name, volume in volumes_in(file):
                voxels = volume[()].astype(np.float64)
                weighted = (voxels.ravel() * np.linspace(0, 1, voxels.size)).sum() / voxels.size
                shape = "x".join(map(str, voxels.shape))
                numbers = f"{voxels.mean():.6f} {voxels.std():.6f} {weighted:.6f}"
                lines.append(f"{path.relative_to(results)} {name} {shape} {numbers}")
    return lines


def volumes_in(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield from volumes_in(item, f"{prefix}{name}/")
        elif item.ndim == 3:
            yield f"{prefix}{name}", item


def test_a_job_that_is_killed_is_told_to_be_killed(finished, tmp_path):
    config, folder = finished[1], shutil.copytree(finished[0], tmp_path / "run", symlinks=True)
    config = config | {"experiment": "killed", "train": config["train"] | {"epochs": 1000, "validate_every": 1}}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command(folder, config, "train"), cwd=folder, **pipes) as ran:
        next(line for line in ran.stdout if "epoch 1 of 1000" in line)
        for job in psutil.Process(ran.pid).children(recursive=True):
            if "train_model.py" in " ".join(job.cmdline()):
                job.kill()
        said = ran.stdout.read()
    assert ran.returncode == 1
    assert "This job failed: results/logs/train_model/killed/seed-0.log" in said
    assert "It ended without an error: it was killed, most often for lack of memory (mem_mb of its rule)." in said


def test_scores_are_means_of_the_images(finished):
    evaluation = finished[0] / "results/evaluation/tiny/seed-0"
    images = pd.read_csv(evaluation / "per_image.csv")
    structures = pd.read_csv(evaluation / "per_structure.csv").set_index("structure")
    overall = pd.read_csv(evaluation / "overall.csv").set_index("mean_over").loc["images"]
    assert structures.images.to_dict() == {"dna": 2, "fibrillarin": 2, "tom20": 2}
    assert overall.images == 6
    for metric in ("mse", "mae", "r2"):
        assert structures[metric]["dna"] == pytest.approx(images[images.structure == "dna"][metric].mean())
        assert overall[metric] == pytest.approx(images[metric].mean())
    assert images.groupby("structure").place.apply(set).map(lambda places: "median" in places).all()


def test_uncertainty_is_measured_without_training_again(finished, tmp_path):
    config, folder = finished[1], shutil.copytree(finished[0], tmp_path / "run", symlinks=True)
    report = folder / "results/report/tiny/seed-0"
    targets = [f"results/report/tiny/seed-0/{page}" for page in ("trust.html", "structures/dna.html")]
    ran = snakemake(folder, config | {"predict": {"uncertainty": "flips"}}, *targets)
    assert ran.returncode == 0, ran.said
    jobs = set(re.findall(r"\(Rule: (\w+)\)", ran.said))
    assert jobs == {"calibrate_uncertainty", "measure_uncertainty", "trust_page", "structure_page"}
    measured = pd.read_csv(folder / "results/evaluation/tiny/seed-0/uncertainty/dna.csv")
    assert (measured.uncertainty[0], measured.images[0]) == ("flips", 2)
    assert "Does it know where it is wrong?" in (report / "trust.html").read_text()
    assert "expected error beside the error" in (report / "viewers/dna.html").read_text()


def test_predictions_are_ome_images_with_sizes(finished):
    results = finished[0] / "results"
    images = pd.read_csv(results / "evaluation/tiny/seed-0/per_image.csv")
    row = images[(images.place == "median") & (images.structure == "tom20")].iloc[0]
    with tifffile.TiffFile(results / "predictions/tiny/seed-0/tom20" / row.file) as tiff:
        assert tiff.series[0].axes == "CZYX"
        stack = tiff.asarray()
        assert all(f'Name="{name}"' in tiff.ome_metadata for name in ("transmitted light", "tom20 prediction"))
        assert 'PhysicalSizeZ="0.29"' in tiff.ome_metadata
    assert np.square(stack[2].astype(float) - stack[1]).mean() == pytest.approx(row.mse, rel=1e-5)


def test_broken_download_was_resumed_and_raw_images_are_gone(finished):
    folder, _, server = finished
    ranges = [request.range for request in server.requests if request.path == "tom20.tar.gz"]
    assert ranges == [None, "bytes=100000-"]
    assert not list((folder / "results/raw").glob("*"))


def test_one_raw_archive_at_a_time(simulated, tmp_path):
    """Even with cores for several."""
    config = tiny(f"{simulated}/{{structure}}.tar.gz", f"{simulated}/lists/{{structure}}.csv")
    said = snakemake(tmp_path, config, "convert", "--cores", "16").said
    events = re.findall(r"Get the raw images|Removing temporary output results/raw", said)
    assert events == ["Get the raw images", "Removing temporary output results/raw"] * 2


def test_datasets_know_where_they_came_from(finished):
    with h5py.File(finished[0] / "results/datasets/train.h5") as file:
        assert json.loads(file.attrs["config"])["split"]["seed"] == 42
        assert len(file["index/source_sha256"].asstr()[0]) == 64


def test_nothing_is_done_twice(finished):
    folder, config, _ = finished
    ran = snakemake(folder, config)
    assert "Nothing to be done" in ran.said
    assert "train_model" in snakemake(folder, config, "-n", "--forcerun", "train_model").said
    untracked = config | {"tracking": {"wandb": "disabled"}}
    elsewhere = snakemake(folder, untracked, "-n", "--set-resources", "train_model:cache=memory").said
    assert "overview_page" in elsewhere
    # the command itself, which is told, names the rule
    assert not re.search(r"^train_model +\d", elsewhere, re.MULTILINE)
    changed = config | {"evaluate": {"save_images": "all"}}
    plan = snakemake(folder, changed, "-n").said
    assert "evaluate_structure" in plan
    assert "train_model" not in plan


def test_contents_decide_and_not_the_times_of_scripts(finished, tmp_path):
    """A fresh clone beside the results has nothing to do; in it, what a script does is changed, then what it says."""
    folder, config, _ = finished
    project = copy_project(tmp_path / "clone")

    def plan() -> str:
        ran = snakemake(folder, config, "-n", project=project)
        assert ran.returncode == 0, ran.said
        return ran.said

    assert "Nothing to be done" in plan()
    script = project / "workflow/scripts/summarise_scores.py"
    script.write_text(script.read_text() + "\n# a comment\n")
    assert "Nothing to be done" in plan()
    script.write_text(script.read_text() + "\nassert __name__\n")
    planned = re.findall(r"^(\w+) +\d+$", plan().rpartition("Job stats:")[2], re.MULTILINE)
    assert set(planned) == {
        *("summarise_scores", "scores_page", "trust_page", "predict_composite", "composite_page", "model_card_page"),
        *("overview_page", "all", "total"),
    }


def test_report_is_one_file_with_everything(finished):
    folder, config, _ = finished
    ran = snakemake(folder, config, "--report", "report.html")
    assert ran.returncode == 0, ran.said
    html = (folder / "report.html").read_text()
    for name in (
        "Overview",
        "Data",
        "Training",
        "Scores",
        "Pictures",
        "Model card",
        "volume viewer",
        "best, median, worst",
    ):
        assert name in html
    pages = folder / "results/report"
    overview = (pages / "overview.html").read_text()
    assert "train the network" in overview
    assert "None: every listed image could be used." in overview
    for figure in ("loss", "gates", "speed"):
        for suffix in ("png", "svg"):
            assert (pages / f"tiny/seed-0/training/{figure}.{suffix}").stat().st_size > 1000


def test_the_model_card_tells_of_its_run(finished):
    pages = finished[0] / "results/report/tiny/seed-0"
    text = (pages / "model_card/README.md").read_text()
    splits = finished[0] / "results/splits/tom20"
    counts = [len(pd.read_csv(splits / f"{split}.csv")) for split in ("train", "val", "test")]
    assert f"\n| tom20 | {' | '.join(map(str, counts))} |\n" in text
    scores = pd.read_csv(finished[0] / "results/evaluation/tiny/seed-0/per_structure.csv").set_index("structure")
    assert f"\n| tom20 | 2 | {scores.mse['tom20']:.3f} |" in text
    for path in re.findall(r"!\[.*\]\((.*)\)", text):
        assert (pages / "model_card" / path).stat().st_size > 1000
    assert "<h2>Limits</h2>" in (pages / "model_card.html").read_text()


def without_braces(folder: Path, tmp_path: Path) -> Path:
    """The results under another name, as Snakemake takes braces in the path of an input for wildcards."""
    link = tmp_path / "elsewhere"
    link.symlink_to(folder / "results")
    return link


def test_another_model_on_other_images_is_evaluated_without_training(finished, tmp_path):
    folder, config, _ = finished
    results = without_braces(folder, tmp_path)
    config = config | {
        "experiment": "elsewhere",
        "evaluate": {
            "model": str(results / "models/tiny/seed-0/model.safetensors"),
            "test_set": str(results / "datasets/test.h5"),
        },
    }
    ran = snakemake(tmp_path, config)
    assert ran.returncode == 0, ran.said
    assert "train_model" not in ran.said
    assert "download" not in ran.said
    there, here = (
        pd.read_csv(path)
        for path in (
            results / "evaluation/tiny/seed-0/per_image.csv",
            tmp_path / "results/evaluation/elsewhere/seed-0/per_image.csv",
        )
    )
    assert set(here.experiment) == {"elsewhere"}
    pd.testing.assert_frame_equal(here.drop(columns="experiment"), there.drop(columns="experiment"))
    assert (tmp_path / "results/report/elsewhere/seed-0/viewers/tom20.html").exists()
    # the data that a model from elsewhere was trained on is unknown
    card = (tmp_path / "results/report/elsewhere/seed-0/model_card/README.md").read_text()
    assert "\n| structure | test images |\n" in card
    # which images were left out of a dataset from elsewhere is not known
    assert "every listed image could be used" not in (tmp_path / "results/report/overview.html").read_text()


def test_compare_shows_all_runs_and_makes_none_again(finished):
    folder, config, _ = finished
    other = config | {"experiment": "other", "train": config["train"] | {"learning_rate": 0.5}}
    scores = folder / "results/evaluation"
    shutil.copytree(scores / "tiny", scores / "other")
    overall = scores / "other/seed-0/overall.csv"
    pd.read_csv(overall).assign(experiment="other").to_csv(overall, index=False)
    # with the config of one, the scores of the other are only read
    for changed in (config, other):
        plan = snakemake(folder, changed, "compare", "-n").said
        counts = dict(re.findall(r"^(\w+) +(\d+)$", plan.rpartition("Job stats:")[2], re.MULTILINE))
        assert counts == {"compare_page": "1", "compare": "1", "total": "2"}, plan
    ran = snakemake(folder, config, "compare")
    shutil.rmtree(scores / "other")
    assert ran.returncode == 0, ran.said
    runs = pd.read_csv(folder / "results/report/compare.csv")
    assert runs[["experiment", "seed"]].to_numpy().tolist() == [["other", 0], ["tiny", 0]]
    assert runs.training_s[1] > 0


def test_evaluate_command(finished, tmp_path):
    results = finished[0] / "results"
    ssp = Path(sys.executable).parent / "ssp"
    arguments = [results / "models/tiny/seed-0/model.safetensors", results / "datasets/test.h5", tmp_path / "out"]
    subprocess.run([ssp, "evaluate", *arguments, "--config", PROJECT / "config.yaml"], check=True)
    there, here = (
        pd.read_csv(path) for path in (results / "evaluation/tiny/seed-0/per_image.csv", tmp_path / "out/per_image.csv")
    )
    pd.testing.assert_frame_equal(here.drop(columns="experiment"), there.drop(columns="experiment"))


def test_another_method_by_its_name_alone(finished, tmp_path):
    """Trained, evaluated and shown; it has no gates to draw."""
    folder, config, _ = finished
    config = config | {"experiment": "plain", "model": {"method": "multi_head_last", "width": 2, "kernel": 3}}
    for name in ("lists", "volumes", "splits", "datasets"):
        (tmp_path / "results").mkdir(exist_ok=True)
        shutil.copytree(folder / "results" / name, tmp_path / "results" / name)
    ran = snakemake(tmp_path, config, "--rerun-triggers", "mtime", "--allowed-rules", *AFTER_INTEGRATION)
    assert ran.returncode == 0, ran.said
    assert read_info(tmp_path / "results/models/plain/seed-0/model.safetensors").method == "multi_head_last"
    assert set(pd.read_csv(tmp_path / "results/evaluation/plain/seed-0/overall.csv").experiment) == {"plain"}
    page = (tmp_path / "results/report/plain/seed-0/training.html").read_text()
    assert "Multi-Head (Las.)" in page
    assert "Experts" not in page


def test_predict_command(finished, simulated, tmp_path):
    import tarfile

    with tarfile.open(simulated / "tom20.tar.gz") as tar:
        member = tar.getmembers()[0]
        tar.extract(member, tmp_path)
    model = finished[0] / "results/models/tiny/seed-0/model.safetensors"
    ssp = Path(sys.executable).parent / "ssp"
    command = [ssp, "predict", model, tmp_path / member.name, "--output", tmp_path / "out", "--grid", "model"]
    subprocess.run([*command, "--structure", "tom20", "--channel", "6"], check=True)
    (written,) = (tmp_path / "out").iterdir()
    assert tifffile.imread(written).shape == (2, 16, 36, 36)

    for arguments, sentence in (
        (["--channel", "9"], "has no channel 9"),
        (["--channel", "6", "--structure", "golgi"], "does not predict 'golgi'; it predicts dna, fibrillarin, tom20."),
    ):
        wrong = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert wrong.returncode == 1
        assert sentence in wrong.stderr
        assert "Traceback" not in wrong.stderr


def test_images_of_the_config_are_predicted_in_jobs(finished, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        voxels = rng.integers(0, 1000, (4, 20, 30), np.uint16)
        tifffile.imwrite(tmp_path / f"{number}.tif", voxels, photometric="minisblack")
    (tmp_path / "bad.tif").touch()
    model = str(without_braces(finished[0], tmp_path) / "models/tiny/seed-0/model.safetensors")
    predict = {"images": ["*.tif"], "images_per_job": 2, "pixels": "uint16"}
    config = finished[1] | {"evaluate": {"model": model}, "predict": predict}
    ran = snakemake(tmp_path, config, "predict")
    assert ran.returncode == 1
    assert "1 of 4 predictions failed: bad.tif is empty (0 bytes), not a microscope image." in ran.said
    (tmp_path / "bad.tif").write_bytes((tmp_path / "0.tif").read_bytes())
    ran = snakemake(tmp_path, config, "predict")
    assert ran.returncode == 0, ran.said
    rows = pd.read_csv(tmp_path / "results/predictions/tiny/seed-0/images.csv")
    assert sorted(rows.image) == ["0.tif", "1.tif", "2.tif", "bad.tif"]
    for output in rows.output:
        assert tifffile.imread(tmp_path / output).shape == (4, 4, 20, 30)


def test_missing_archive_costs_no_other_work(simulated, tmp_path):
    with FileServer(simulated) as server:
        config = tiny(server.url("") + "{structure}.tar.gz", server.url("") + "lists/{structure}.csv")
        server.fail("fibrillarin.tar.gz", 404, times=99)
        ran = snakemake(tmp_path, config, "convert")
    assert ran.returncode == 1
    assert f"{server.url('fibrillarin.tar.gz')}: the server answered 404" in ran.said
    assert "Traceback" not in ran.said
    assert sorted(path.name for path in (tmp_path / "results/volumes").iterdir()) == [
        "tom20.checked",
        "tom20.h5",
        "tom20.left_out.csv",
    ]


def test_wrong_checksum_and_quota_too_large_are_told_plainly(simulated, tmp_path):
    config = tiny(f"{simulated}/{{structure}}.tar.gz", f"{simulated}/lists/{{structure}}.csv")
    config["dna"]["quota"]["test"] = 3
    config["collection"]["sha256"] = {f"{simulated}/tom20.tar.gz": "0" * 64}
    ran = snakemake(tmp_path, config, "dna", "download")
    assert ran.returncode == 1
    assert "dna.quota.test is 3, but only 2 of the 4 test images" in ran.said
    assert f"{simulated}/tom20.tar.gz" in ran.said
    assert "0" * 64 in ran.said
    assert "Traceback" not in ran.said
    assert not list((tmp_path / "results").rglob("*part*"))


REAL_MINI = yaml.safe_load((PROJECT / "tests/e2e/real_mini.yaml").read_text())


def convert_real_images(folder: Path, config: dict) -> None:
    """Convert the images; three of them are unusable, so the workflow stops."""
    stopped = snakemake(folder, config, "convert")
    assert stopped.returncode == 1
    assert "2 images of alpha_tubulin" in stopped.said
    for tile in (
        "alpha_tubulin/AICS-12_881_tile-03",
        "alpha_tubulin/AICS-12_881_tile-13",
        "sec61_beta/AICS-10_5_5_tile-00",
    ):
        assert f"data/{tile}.czi channel 2 (SEG_DNA) is constant" in stopped.said
    assert "Traceback" not in stopped.said
    assert not list((folder / "results").rglob("*.checked"))


def test_folders_in_place_of_archives(finished, simulated, tmp_path):
    (tmp_path / "images").mkdir()
    for structure in ("fibrillarin", "tom20"):
        subprocess.run(["tar", "xf", simulated / f"{structure}.tar.gz", "-C", tmp_path / "images"], check=True)
    config = tiny(f"{tmp_path}/images/{{structure}}", f"{simulated}/lists/{{structure}}.csv")
    before = sorted(path.name for path in (tmp_path / "images/tom20").iterdir())
    ran = snakemake(tmp_path, config, "integrate")
    assert ran.returncode == 0, ran.said
    assert sorted(path.name for path in (tmp_path / "images/tom20").iterdir()) == before
    assert describe_data(tmp_path / "results") == describe_data(finished[0] / "results")


def test_a_page_in_place_of_a_list_is_not_kept(simulated, tmp_path):
    shutil.copytree(simulated / "lists", tmp_path / "web/lists")
    wrong = tmp_path / "web/lists/tom20.csv"
    wrong.write_text("<!doctype html><html>Please log in</html>")
    with FileServer(tmp_path / "web") as server:
        config = tiny(server.url("") + "{structure}.tar.gz", server.url("") + "lists/{structure}.csv")
        ran = snakemake(tmp_path, config, "split")
        assert ran.returncode == 1
        assert f"{server.url('lists/tom20.csv')}: the server sent a web page, not the file" in ran.said
        shutil.copy(simulated / "lists/tom20.csv", wrong)
        ran = snakemake(tmp_path, config, "split")
    assert ran.returncode == 0, ran.said


def test_real_images(shared_data, tmp_path):
    with FileServer(shared_data / "real-mini") as server:
        files = {"archives": "{structure}.tar.gz", "lists": "manifests/{structure}.csv"}
        config = REAL_MINI | {"collection": {kind: server.url("") + name for kind, name in files.items()}}
        convert_real_images(tmp_path, config)

    # nothing is downloaded or converted again
    skip = config | {"preprocess": config["preprocess"] | {"on_bad_image": "skip"}}
    ran = snakemake(tmp_path, skip)
    assert ran.returncode == 0, ran.said
    assert "Convert the images" not in ran.said
    with h5py.File(tmp_path / "results/volumes/alpha_tubulin.h5") as file:
        assert len(file) == 10
        assert sum("dna" in group for group in file.values()) == 8
    dna = pd.concat([pd.read_csv(path) for path in (tmp_path / "results/splits/dna").glob("*.csv")])
    left_out = pd.concat([pd.read_csv(path) for path in (tmp_path / "results/volumes").glob("*.left_out.csv")])
    assert len(left_out) == 3
    assert not set(dna.path_czi) & set(left_out.image)
    assert "tile-13" in (tmp_path / "results/report/data.html").read_text()
    report = snakemake(tmp_path, skip, "--report", "report.html")
    assert report.returncode == 0, report.said
    assert (tmp_path / "report.html").stat().st_size > 100_000
