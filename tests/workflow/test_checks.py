"""The project's own checks: style, types, and the form of rules and scripts."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers import PROJECT

BIN = Path(sys.executable).parent
RULE_FILES = sorted((PROJECT / "rules").glob("*.smk"))
RULES = {
    match[1]: match[2]
    for path in RULE_FILES
    for match in re.finditer(
        r"^ {0,4}(?:rule|checkpoint) (\w+):\n((?:(?: {4,}.*)?\n)+)", path.read_text(), re.MULTILINE
    )
}
TARGETS = {
    *("report", "preflight", "download", "convert", "split", "dna", "integrate", "train", "evaluate"),
    *("predict", "compare", "benchmark"),
}


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--no-cache"],
        ["ruff", "format", "--check", "--no-cache"],
        ["mypy"],
        ["snakefmt", "--check", "Snakefile", "rules"],
        ["snakemake", "--lint"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_clean(command):
    ran = subprocess.run([BIN / command[0], *command[1:]], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("rule", sorted(set(RULES) - TARGETS))
def test_rules_are_complete(rule):
    found = re.findall(r"^ +(\w+):", RULES[rule], re.MULTILINE)
    assert {"output", "log", "benchmark", "message", "resources", "params", "conda", "script"} <= set(found)
    for resource in ("mem_mb=", "runtime="):
        assert resource in RULES[rule]


def test_all_named_targets_are_there():
    assert set(RULES) >= TARGETS


@pytest.mark.parametrize("path", sorted((PROJECT / "workflow/scripts").glob("*.py")), ids=lambda path: path.name)
def test_scripts_hold_no_logic(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 30
    assert 'if __name__ == "__main__":' in lines
    # what a result depends on is among the params, and where it is computed among the resources
    assert "snakemake.config" not in path.read_text()


def test_the_package_does_not_know_snakemake():
    for path in (PROJECT / "ssp_model").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) snakemake", path.read_text(), re.MULTILINE), path


def test_lock_pins_every_package_the_project_names():
    locked = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (PROJECT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    # the plugins of further formats are installed by who needs them
    extras = [name for extra, names in project["optional-dependencies"].items() if extra != "formats" for name in names]
    named = [re.match(r"[A-Za-z0-9_.-]+", name)[0] for name in (*project["dependencies"], *extras)]
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in named} <= locked


def test_conda_environment_agrees_with_the_lock():
    locked = set((PROJECT / "requirements.lock").read_text().splitlines())
    pins = re.findall(r"^ {6}- (\S+==\S+)$", (PROJECT / "envs/ssp.yaml").read_text(), re.MULTILINE)
    named = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert len(pins) == len(named)
    assert set(pins) <= locked


def test_container_recipes_agree_and_install_the_lock():
    container, apptainer = ((PROJECT / "envs" / name).read_text() for name in ("Containerfile", "ssp.def"))
    run, post = (
        re.search(pattern, text, re.MULTILINE)[1].split()
        for pattern, text in ((r"^RUN ((?:.*\\\n)*.*)", container), (r"^%post\n((?: {4}.*\n)+)", apptainer))
    )
    assert run == post
    assert "--requirement /opt/ssp/requirements.lock" in " ".join(run)
    variables = r"\b([A-Z_]+=\S+)"
    environment = [
        re.findall(variables, " ".join(re.findall(f"^{start} (.*)", text, re.MULTILINE)))
        for start, text in (("ENV", container), ("    export", apptainer))
    ]
    assert environment[0] == environment[1]
    base = [re.search(r"^(?:FROM|From:) (.*)", text, re.MULTILINE)[1] for text in (container, apptainer)]
    assert base[0] == base[1]
