"""Plans of the workflow, without running it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ssp_model.nn.methods import METHODS
from tests.fast_snakemake import run_snakemake
from tests.helpers import GOLDEN, PROJECT


def plan(tmp_path: Path, *arguments: str, config: dict | None = None) -> subprocess.CompletedProcess:
    """A dry run in an empty folder."""
    command = ["--snakefile", PROJECT / "Snakefile", "--directory", tmp_path, "-n", *arguments]
    if config is not None:
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
        command += ["--configfile", tmp_path / "mine.yaml"]
    return run_snakemake(tmp_path, *command)


def job_counts(ran: subprocess.CompletedProcess) -> dict[str, int]:
    assert ran.returncode == 0, ran.said
    table = ran.said.rpartition("Job stats:")[2]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def test_full_job(tmp_path):
    assert job_counts(plan(tmp_path)) == {
        "download_archive": 11,
        "download_list": 12,
        "tabulate_samples": 11,
        "convert_images": 11,
        "check_images": 11,
        "split_structure": 11,
        "split_dna": 1,
        "integrate_datasets": 1,
        "data_page": 1,
        "train_model": 1,
        "training_page": 1,
        "evaluate_structure": 12,
        "summarise_scores": 1,
        "scores_page": 1,
        "trust_page": 1,
        "structure_page": 12,
        "predict_composite": 1,
        "composite_page": 1,
        "model_card_page": 1,
        "overview_page": 1,
        "all": 1,
        "total": 104,
    }


@pytest.mark.parametrize(
    ("target", "last_rule", "jobs"),
    [
        ("download", "download_archive", 11),
        ("convert", "check_images", 11),
        ("split", "split_dna", 1),
        ("dna", "split_dna", 1),
        ("integrate", "integrate_datasets", 1),
        ("train", "train_model", 1),
        ("evaluate", "evaluate_structure", 12),
        ("report", "structure_page", 12),
    ],
)
def test_named_targets(tmp_path, target, last_rule, jobs):
    counts = job_counts(plan(tmp_path, target))
    assert counts[target] == 1
    assert counts[last_rule] == jobs


def test_images_to_predict_are_shared_among_jobs(tmp_path, model):
    assert "predict_images" not in job_counts(plan(tmp_path, "predict"))
    for number in range(5):
        (tmp_path / f"{number}.czi").touch()
    config = {"predict": {"images": ["*.czi", "more.tif"], "images_per_job": 4}, "evaluate": {"model": str(model)}}
    counts = job_counts(plan(tmp_path, "predict", config=config))
    assert counts == {"predict_images": 2, "list_predictions": 1, "predict": 1, "total": 4}
    ran = plan(tmp_path, "predict", config={"predict": {"images": ["*.nd2"]}})
    assert "*.nd2 matches no image; correct the pattern." in ran.said


def test_uncertainty_is_calibrated_and_measured_before_images_are_predicted(tmp_path, model):
    (tmp_path / "a.czi").touch()
    images = {"images": ["a.czi"]}
    config = {"predict": {**images, "uncertainty": "flips"}, "seeds": [0, 1]}
    counts = job_counts(plan(tmp_path, "report", "predict", config=config))
    assert (counts["calibrate_uncertainty"], counts["measure_uncertainty"]) == (24, 24)
    assert (counts["predict_images"], counts["list_predictions"], counts["trust_page"]) == (2, 2, 2)
    # a prediction that is the mean of all seeds is made once
    for kind in ("seeds", "both"):
        config["predict"]["uncertainty"] = kind
        counts = job_counts(plan(tmp_path, "report", "predict", config=config))
        assert (counts["calibrate_uncertainty"], counts["measure_uncertainty"]) == (12, 12)
        assert (counts["train_model"], counts["predict_images"], counts["trust_page"]) == (2, 1, 2)
    # there may be no validation images of a model from elsewhere
    config = {"predict": {**images, "uncertainty": "flips"}, "evaluate": {"model": str(model)}}
    assert job_counts(plan(tmp_path, "predict", config=config)) == {
        "predict_images": 1, "list_predictions": 1, "predict": 1, "total": 3,
    }  # fmt: skip


def test_a_model_at_an_address_is_planned_without_a_network(tmp_path):
    address = "https://nowhere.invalid/model.safetensors#sha256="
    (tmp_path / "a.czi").touch()
    config = {"predict": {"images": ["a.czi"]}, "evaluate": {"model": address + "0123456789abcdef" * 4}}
    counts = job_counts(plan(tmp_path, "predict", config=config))
    assert counts == {"download_model": 1, "predict_images": 1, "list_predictions": 1, "predict": 1, "total": 4}
    both = {**config, "train": {"extend": address + "fedcba9876543210" * 4}}
    counts = job_counts(plan(tmp_path, "train", "predict", config=both))
    assert (counts["download_model"], counts["train_model"], counts["predict_images"]) == (2, 1, 1)


def test_an_address_without_a_checksum_is_refused(tmp_path):
    ran = plan(tmp_path, config={"evaluate": {"model": "https://host/model.safetensors"}})
    assert ran.returncode == 1
    assert "evaluate.model: https://host/model.safetensors has no checksum, and" in ran.said


def test_until(tmp_path):
    counts = job_counts(plan(tmp_path, "--until", "split_structure"))
    assert set(counts) == {"download_list", "split_structure", "total"}


def test_seeds_fan_out(tmp_path):
    counts = job_counts(plan(tmp_path, config={"seeds": [0, 1, 2]}))
    assert counts["train_model"] == counts["summarise_scores"] == 3
    assert counts["integrate_datasets"] == 1


def test_jobs_grow_with_the_structures(tmp_path):
    """Eight a structure and three for the one drawn from the others, beside thirteen that are there once."""
    config = {"structures": [f"structure_{number:03d}" for number in range(100)]}
    counts = job_counts(plan(tmp_path, config=config))
    each = ("download_archive", "tabulate_samples", "convert_images", "check_images", "split_structure")
    assert {counts[name] for name in each} == {100}
    assert {counts[name] for name in ("download_list", "evaluate_structure", "structure_page")} == {101}
    assert counts["total"] == 8 * 100 + 3 + 13


def test_structures_that_are_none_are_not_made(tmp_path):
    for wrong in ("results/volumes/golgi.h5", "results/splits/golgi/train.csv"):
        ran = plan(tmp_path, wrong)
        assert ran.returncode == 1
        assert "results/lists/golgi.csv" in ran.said
    assert "split_structure" not in job_counts(plan(tmp_path, "results/splits/dna/val.csv"))


def test_own_table_of_samples(tmp_path):
    rows = ["image,structure,signal,target", "a.czi,zo1,0,1", "a.czi,tom20,0,2", "b.czi,tom20,0,2", "c.czi,golgi,0,2"]
    (tmp_path / "samples.csv").write_text("\n".join(rows))
    config = {"structures": None, "dna": None, "collection": {"samples": "samples.csv"}}
    counts = job_counts(plan(tmp_path, config=config))
    assert not any(rule.startswith("download") for rule in counts)
    assert counts["preflight_samples"] == counts["split_samples"] == 1
    # an image is converted once, with its first structure
    assert counts["convert_images"] == counts["tabulate_samples"] == 3
    assert counts["structure_page"] == 3
    some = job_counts(plan(tmp_path, config=config | {"structures": ["tom20"]}))
    assert some["convert_images"] == some["structure_page"] == 1
    wrong = plan(tmp_path, config=config | {"structures": ["tom20", "dna"]})
    assert "structures lists dna, but the table of samples has golgi, tom20, zo1 only" in wrong.said


def test_an_own_table_counts_by_its_samples(tmp_path):
    """Neither a new date nor a further column makes anything again, but an image that a pattern comes to match does."""
    table = tmp_path / "samples.csv"
    table.write_text("image,structure,signal,target\nzo1-*.czi,zo1,0,1\ntom20-*.czi,tom20,0,1\n")
    for number in range(3):
        (tmp_path / f"zo1-{number}.czi").touch()
        (tmp_path / f"tom20-{number}.czi").touch()
    config = {"structures": None, "dna": None, "collection": {"samples": "samples.csv"}}
    targets = ("download", "split")
    plan(tmp_path, config=config)
    command = ["--snakefile", PROJECT / "Snakefile", "--cores", "1", *targets]
    ran = run_snakemake(tmp_path, *command, "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml")
    assert ran.returncode == 0, ran.said

    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},notes", *(f"{line},x" for line in lines[1:])]))
    assert "Nothing to be done" in plan(tmp_path, *targets, config=config).stdout

    (tmp_path / "zo1-3.czi").touch()
    counts = job_counts(plan(tmp_path, *targets, config=config))
    assert counts == {"tabulate_samples": 1, "split_samples": 1, "download": 1, "split": 1, "total": 4}


def test_without_dna(tmp_path):
    counts = job_counts(plan(tmp_path, config={"dna": None}))
    assert "split_dna" not in counts
    assert counts["structure_page"] == 11


def test_skipping_bad_images_splits_after_the_conversion(tmp_path):
    skip = {"preprocess": {"on_bad_image": "skip"}}
    assert "convert_images" not in job_counts(plan(tmp_path, "split"))
    assert job_counts(plan(tmp_path, "split", config=skip))["convert_images"] == 11


@pytest.fixture(scope="module")
def spied(tmp_path_factory):
    """A copy of the project that notes, for each rule, its script, and the script and modules whose code it counts."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("profiles", "rules", "ssp_model", "workflow"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "config.yaml", copy)
    with (copy / "ssp_model/provenance.py").open("a") as file:
        file.write("\n\ndef source_digest(*modules, script):\n    return [script.stem, *modules]\n")
    noting = """
import json
from types import SimpleNamespace
own = SimpleNamespace(experiment=CONFIG.experiment)
codes = {rule.name: rule.params.code for rule in workflow.rules if "code" in rule.params.keys()}
counted = {name: code(own) if callable(code) else code for name, code in codes.items()}
scripts = {rule.name: Path(rule.script).stem for rule in workflow.rules if rule.script}
Path("counted.json").write_text(json.dumps({"counted": counted, "scripts": scripts}))
"""
    (copy / "Snakefile").write_text((PROJECT / "Snakefile").read_text() + noting)
    return copy


@pytest.mark.parametrize(
    ("evaluate", "methods_evaluated"),
    [({}, ["multi_head_last"]), ({"model": str(GOLDEN / "models/0.1.0/model.safetensors")}, list(METHODS))],
)
def test_rules_count_the_code_of_their_method(spied, tmp_path, evaluate, methods_evaluated):
    """The network's own method; any method where the evaluated model is from elsewhere."""
    config = {"model": {"method": "multi_head_last"}, "evaluate": evaluate}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    # a list of the rules needs no plan
    files = ["--snakefile", spied / "Snakefile", "--configfile", tmp_path / "mine.yaml"]
    ran = run_snakemake(tmp_path, *files, "--list")
    assert ran.returncode == 0, ran.said
    noted = json.loads((tmp_path / "counted.json").read_text())
    counted = noted["counted"]
    # what was downloaded stays, whatever becomes of the script
    uncounted = set(noted["scripts"]) - set(counted)
    assert uncounted == {"download_list", "download_archive", "download_model"}
    assert {rule: names[0] for rule, names in counted.items()} == {rule: noted["scripts"][rule] for rule in counted}
    methods = {
        rule: [name.removeprefix("nn.methods.") for name in names if name.startswith("nn.methods.")]
        for rule, names in counted.items()
    }
    assert {rule: names for rule, names in methods.items() if names} == {
        "train_model": methods_evaluated,
        "train_structure": methods_evaluated,
        "join_models": methods_evaluated,
        "measure_cost": methods_evaluated,
        "training_page": methods_evaluated,
        "evaluate_structure": methods_evaluated,
        "calibrate_uncertainty": methods_evaluated,
        "measure_uncertainty": methods_evaluated,
        "predict_composite": methods_evaluated,
        "predict_images": methods_evaluated,
        "model_card_page": methods_evaluated,
    }
