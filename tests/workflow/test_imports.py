"""A job imports what it needs: libraries that take long to import stay out of jobs that do without."""

import ast
import subprocess
import sys

import pytest

from tests.helpers import PROJECT

SCRIPTS = PROJECT / "workflow/scripts"
LONG = {"lightning_fabric", "lightning", "torchmetrics", "monai", "wandb", "snakemake", "matplotlib", "bioio"}


def imported(statements: str) -> set[str]:
    """Packages that a fresh process has imported after some statements."""
    code = f"{statements}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    return set(ran.stdout.splitlines()[-1].split())


def imports_of(script: str) -> str:
    nodes = ast.walk(ast.parse((SCRIPTS / f"{script}.py").read_text()))
    return "\n".join(ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))


@pytest.mark.parametrize(
    "script",
    ["evaluate_structure", "calibrate_uncertainty", "measure_uncertainty", "predict_composite", "predict_images"],
)
def test_prediction_needs_torch_and_little_else(script):
    packages = imported(imports_of(script))
    assert "torch" in packages
    assert packages & LONG == set()


def test_the_command_predicts_with_little_else():
    packages = imported("import ssp_model.cli, ssp_model.config.read, ssp_model.prediction.batch")
    assert "torch" in packages
    assert packages & LONG == set()


@pytest.mark.parametrize(
    "script",
    ["download", "tabulate_samples", "preflight_samples", "check_preflight", "convert_images", "check_images",
     "split_structure", "split_samples", "split_dna", "integrate_datasets", "list_predictions", "summarise_scores"],
)  # fmt: skip
def test_lists_and_tables_do_without_torch(script):
    assert imported(imports_of(script)) & {*LONG, "torch"} == set()


def test_help_does_without_libraries_of_science():
    run_help = "from ssp_model.cli import typer_app; typer_app(['--help'], standalone_mode=False)"
    packages = imported(run_help)
    assert "typer" in packages
    assert packages & {*LONG, "torch", "pandas", "numpy", "scipy", "h5py"} == set()
