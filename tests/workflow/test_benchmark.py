"""Plans of the benchmark: which jobs there are, and which run again."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ssp_model.config.ablations import ABLATIONS
from ssp_model.nn.methods import METHODS
from tests.fast_snakemake import run_snakemake
from tests.helpers import GOLDEN, PROJECT
from tests.workflow.test_plan import job_counts, plan

CONFIG = {
    "experiment": "tiny",
    "structures": ["fibrillarin", "tom20"],
    "benchmark": {
        "methods": ["repmode", "multi_net", "multi_head_decoder", "condnet"],
        "ablations": ["sigmoid_gate"],
        "increments": ["fibrillarin"],
    },
}
DATA_RULES = {
    *("download_archive", "download_list", "tabulate_samples", "convert_images", "check_images"),
    *("split_structure", "split_dna", "integrate_datasets", "total"),
}


def own_jobs(counts: dict[str, int]) -> dict[str, int]:
    """The jobs after the datasets."""
    return {rule: count for rule, count in counts.items() if rule not in DATA_RULES}


def test_the_whole_matrix(tmp_path):
    """All methods and ablations on twelve structures, and two structures learnt afterwards by two methods."""
    compared = len(METHODS) + len(ABLATIONS)
    assert own_jobs(job_counts(plan(tmp_path, "benchmark"))) == {
        "train_model": compared - 1 + 2 * 2 * 2,
        "train_structure": 12,
        "join_models": 1,
        "evaluate_structure": 12 * compared + 2 * 2,
        "summarise_scores": compared + 2 * 2,
        "measure_cost": compared + 2 * 2,
        "benchmark_page": 1,
        "benchmark": 1,
    }


def test_seeds_fan_out(tmp_path):
    counts = job_counts(plan(tmp_path, "benchmark", config=CONFIG | {"seeds": [0, 1]}))
    assert counts["train_model"] == 2 * (4 + 2 * 2)
    assert counts["train_structure"] == 2 * 3
    assert counts["evaluate_structure"] == 2 * (3 * 5 + 2)
    # a seed changes no cost
    assert counts["measure_cost"] == 5 + 2


@pytest.mark.parametrize(
    ("cell", "jobs"),
    [
        ("condnet", {"train_model": 1, "evaluate_structure": 3}),
        ("repmode_sigmoid_gate", {"train_model": 1, "evaluate_structure": 3}),
        ("multi_net", {"train_structure": 3, "join_models": 1, "evaluate_structure": 3}),
        # with the model that it extends
        ("multi_head_decoder_extended_fibrillarin", {"train_model": 2, "evaluate_structure": 1}),
    ],
)
def test_a_cell_alone(tmp_path, cell, jobs):
    counts = job_counts(plan(tmp_path, f"results/evaluation/tiny-{cell}/seed-0/overall.csv", config=CONFIG))
    assert own_jobs(counts) == {**jobs, "summarise_scores": 1}


def test_a_model_that_is_there_to_be_extended_has_no_scores(tmp_path):
    wanted = "results/evaluation/tiny-repmode_without_fibrillarin/seed-0/overall.csv"
    ran = plan(tmp_path, wanted, config=CONFIG)
    assert "tiny-repmode_without_fibrillarin is there to be extended, and not scored; ask for" in ran.said


def test_the_own_experiment_may_train_networks_alone(tmp_path):
    config = CONFIG | {"model": {"method": "multi_net", "width": 2}}
    counts = job_counts(plan(tmp_path, config=config))
    assert (counts["train_structure"], counts["join_models"], counts["training_page"]) == (3, 1, 1)
    assert "train_model" not in counts


def test_the_own_experiment_may_extend_a_model(tmp_path, model):
    ran = plan(tmp_path, "train", config=CONFIG | {"train": {"extend": str(model)}})
    assert own_jobs(job_counts(ran)) == {"train_model": 1, "train": 1}
    missing = plan(tmp_path, "train", config=CONFIG | {"train": {"extend": "none.safetensors"}})
    assert f"train.extend: there is no file {tmp_path}/none.safetensors; correct" in missing.stdout + missing.stderr


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"benchmark": {"increments": ["tom20", "golgi"]}},
            "benchmark.increments lists golgi, but the structures are dna, fibrillarin, tom20; correct the list",
        ),
        ({"structures": ["tom20"], "dna": None, "benchmark": {"increments": ["tom20"]}}, "which is the only structure"),
        (
            {"evaluate": {"model": str(GOLDEN / "models/0.1.0/model.safetensors")}},
            "The benchmark trains its models, but evaluate.model is ",
        ),
    ],
)
def test_a_benchmark_that_cannot_be_made(tmp_path, changed, sentence):
    config = CONFIG | changed
    ran = plan(tmp_path, "benchmark", config=config)
    assert ran.returncode == 1
    assert sentence in ran.said
    # all else can be
    assert plan(tmp_path, config=config).returncode == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """A copy of the project whose jobs only write empty files, and the folder of a finished benchmark."""
    copy, folder = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("run")
    for name in ("envs", "profiles", "rules", "ssp_model", "workflow"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("config.yaml", "Snakefile"):
        shutil.copy(PROJECT / name, copy)
    write = copy / "write.sh"
    write.write_text('for path in "$@"; do case "$path" in *.*) touch "$path";; *) mkdir -p "$path";; esac; done')
    for path in (copy / "rules").glob("*.smk"):
        text = re.sub(r'script:\n +"[^"]+"', f'shell: "bash {write} {{output}}"', path.read_text())
        path.write_text(text)
    (folder / "mine.yaml").write_text(yaml.safe_dump(CONFIG))
    ran = run_on(copy, folder, "benchmark", "--cores", "2")
    assert ran.returncode == 0, ran.said
    return copy, folder


def run_on(project: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    files = ["--snakefile", project / "Snakefile", "--directory", folder, "--configfile", folder / "mine.yaml"]
    return run_snakemake(folder, *arguments, *files)


def jobs_again(finished: tuple[Path, Path], *targets: str) -> tuple[dict[str, int], set[str]]:
    """The jobs that would run now, and their experiments."""
    ran = run_on(*finished, *(targets or ("benchmark",)), "-n")
    assert ran.returncode == 0, ran.said
    if "Nothing to be done" in ran.said:
        return {}, set()
    messages = "\n".join(re.findall(r"^Job \d+: .*", ran.said, re.MULTILINE))
    return job_counts(ran), set(re.findall(r"tiny-(\w+)", messages))


def test_nothing_runs_again(finished):
    assert jobs_again(finished) == ({}, set())


@pytest.mark.parametrize(
    ("module", "cells"),
    [
        ("nn/methods/condnet.py", {"condnet"}),
        ("nn/methods/multi_net.py", {"multi_net"}),
        (
            "nn/methods/multi_head_decoder.py",
            {
                "multi_head_decoder",
                "multi_head_decoder_without_fibrillarin",
                "multi_head_decoder_extended_fibrillarin",
            },
        ),
        (
            "nn/methods/repmode.py",
            {"repmode", "repmode_sigmoid_gate", "repmode_without_fibrillarin", "repmode_extended_fibrillarin"},
        ),
        ("training/join.py", {"multi_net"}),
    ],
)
def test_a_changed_module_makes_its_cells_again(finished, module, cells):
    path = finished[0] / "ssp_model" / module
    text = path.read_text()
    path.write_text(text + "\nCHANGED = True\n")
    try:
        counts, experiments = jobs_again(finished)
    finally:
        path.write_text(text)
    assert experiments == cells
    assert counts["benchmark_page"] == 1
    assert ("train_structure" in counts) == (module == "nn/methods/multi_net.py")


def test_a_network_that_is_lost_is_trained_again_alone(finished):
    lost = finished[1] / "results/models/tiny-multi_net/seed-0/structures/tom20/model.safetensors"
    lost.unlink()
    try:
        counts, experiments = jobs_again(
            finished, "results/models/tiny-multi_net/seed-0/model.safetensors", "--forcerun", "join_models"
        )
    finally:
        lost.touch()
    assert experiments == {"multi_net"}
    assert own_jobs(counts) == {"train_structure": 1, "join_models": 1}


def test_other_targets_leave_the_cells_alone(finished):
    """Also where their results are out of date, and where results of one lie about."""
    path = finished[0] / "ssp_model/nn/methods/condnet.py"
    text = path.read_text()
    path.write_text(text + "\nCHANGED = True\n")
    try:
        for target in ("all", "compare", "train", "evaluate"):
            counts, experiments = jobs_again(finished, target)
            assert experiments == set()
            assert counts["train_model"] == 1
    finally:
        path.write_text(text)
