"""What Snakemake says to a config: one sentence if it is wrong, before anything runs."""

import re
import shutil
import subprocess
from pathlib import Path

import h5py
import pytest

from tests.fast_snakemake import run_snakemake
from tests.helpers import PROJECT, copy_project


def run(folder: Path, config: str, *arguments: str) -> subprocess.CompletedProcess:
    """Snakemake in a folder, with the text of a config file; `-n` unless arguments say what to do."""
    (folder / "mine.yaml").write_text(config)
    files = ["--snakefile", PROJECT / "Snakefile", "--directory", folder, "--configfile", "mine.yaml"]
    return run_snakemake(folder, *files, *(arguments or ["-n"]))


def refusal(ran: subprocess.CompletedProcess) -> str:
    """The lines that it printed, but for what Snakemake says of config files that it merges."""
    assert ran.returncode == 1, ran.said
    told = re.compile("Config file .* is extended|Using (workflow|profile)")
    return "\n".join(line for line in ran.said.splitlines() if not told.match(line))


WRONG = """
trian: {}
structures: [tom 20]
train: {epochs: many}
"""


@pytest.mark.parametrize("arguments", [["-n"], ["--lint"], ["--report", "report.html"]], ids=lambda words: words[0])
def test_a_wrong_config_is_one_sentence_before_anything_runs(tmp_path, arguments):
    assert re.fullmatch(
        r"The configuration is wrong: entry 1 of structures is 'tom 20' but should have only the characters [^;]*; "
        r"train\.epochs is 'many' but should be a whole number; trian is not a key \(known here: [^)]*\)\.",
        refusal(run(tmp_path, WRONG, *arguments)),
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("profile", ["default", "none"])
def test_a_key_given_twice_is_refused(tmp_path, profile):
    said = refusal(run(tmp_path, "train:\n  epochs: 1\n  epochs: 2\n", "-n", "--workflow-profile", profile))
    assert said.endswith("mine.yaml gives the key epochs in line 2 and again in line 3; delete one of the two.")


def test_a_broken_config_yaml_is_named_with_the_line(tmp_path):
    """The file beside the Snakefile. Files of `--configfile` are tested with the profiles, which read them."""
    for name in ("rules", "ssp_model", "workflow", "profiles"):
        (tmp_path / name).symlink_to(PROJECT / name)
    shutil.copy(PROJECT / "Snakefile", tmp_path)
    (tmp_path / "config.yaml").write_text("seeds: [0]\ntrain:\n\tepochs: 3\n")
    ran = run_snakemake(tmp_path, "-n")
    assert re.fullmatch(
        rf"{tmp_path}/config\.yaml can't be read as YAML: correct line 3 \(found character .*\); indent with .*\.",
        refusal(ran),
    )


def test_the_command_line_changes_single_keys(tmp_path):
    values = ["experiment=trial", "seeds=[0,1]", "dna=null", "train={epochs: 3, ema: null, learning_rate: 1e-3}"]
    ran = run(tmp_path, "dna: {name: hoechst}", "-n", "--config", *values)
    assert ran.returncode == 0, ran.said
    assert "results/models/trial/seed-1/model.safetensors" in ran.stdout
    assert "rule split_dna" not in ran.stdout


def test_the_longest_names_can_be_planned(tmp_path):
    """Also names that repeat as much as Snakemake lets them."""
    names = "x" * 19, "long" * 19 + "x" * 19 + "_long"
    ran = run(tmp_path, f"experiment: {names[1]}\nstructures: [{', '.join(names)}]\n")
    assert ran.returncode == 0, ran.said


def test_given_files_are_opened_before_a_training(tmp_path):
    """A wrong file would else be told after the training."""
    with h5py.File(tmp_path / "volumes.h5", "w") as file:
        file.create_group("0000")
    said = refusal(run(tmp_path, "evaluate: {test_set: volumes.h5}"))
    assert said.startswith("evaluate.test_set: volumes.h5 is not a dataset: ")
    said = refusal(run(tmp_path, "evaluate: {test_set: ~/none.h5}"))
    assert said == f"evaluate.test_set: there is no file {Path.home()}/none.h5; correct the path."


def test_files_with_braces_in_their_path_are_used_from_there_and_refused_elsewhere(tmp_path):
    """Snakemake takes braces for the names of wildcards."""
    folder = tmp_path / "{1}"
    folder.mkdir()
    (folder / "mine.csv").write_text("image,structure,signal,target\n*.tif,a,0,1\n")
    for number in range(3):
        (folder / f"{number}.tif").touch()
    config = f"{{structures: null, dna: null, collection: {{samples: '{folder}/mine.csv'}}}}"
    ran = run(folder, config)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert refusal(run(tmp_path, config)).startswith(
        f"{folder}/mine.csv can't be used, as there are braces in its path;"
    )


def test_a_container_is_refused_where_the_path_of_the_project_has_a_blank(tmp_path):
    """Snakemake takes no such image. Without a container, a blank is no hindrance."""
    project = copy_project(tmp_path / "my lab")
    command = ["--snakefile", project / "Snakefile", "--directory", tmp_path, "-n"]
    said = refusal(run_snakemake(tmp_path, *command, "--sdm", "apptainer"))
    assert said.startswith(f"{project}/envs/ssp.sif can't be used: Snakemake wants an image whose path has no space;")
    assert run_snakemake(tmp_path, *command).returncode == 0
