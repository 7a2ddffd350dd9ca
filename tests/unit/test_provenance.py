"""Digests of the code behind a result, and logs of failed jobs."""

import ast
import os
from pathlib import Path

import pytest

from ssp_model import provenance
from ssp_model.provenance import failed_job_logs, source_digest
from tests.helpers import PROJECT

MODULES = {
    "errors.py": "class InputError(Exception): ...\n",
    "log.py": "logger = None\n",
    "nn/unet.py": "from ssp_model.nn.blocks import Block\nnet = Block\n",
    "nn/blocks.py": "Block = 1\n",
    "nn/methods/__init__.py": "METHODS = {'repmode': 'RepMode'}\n",
    "nn/methods/repmode.py": "from ssp_model.nn.unet import net\n",
    "nn/methods/dodnet.py": "from ssp_model.nn.unet import net\n",
    "report/__init__.py": "",
    "report/overview.py": "from ssp_model.report import html\npage = html.render('overview.html.j2')\n",
    "report/html.py": "def render(name): ...\n",
    "report/published.py": "table = read('report/published_table1.tsv')\n",
    "report/published_table1.tsv": "r2\n0.5\n",
    "report/templates/overview.html.j2": '{% extends "base.html.j2" %}{% block body %}{% endblock %}\n',
    "report/templates/base.html.j2": "<body>{%- include ['foot.html.j2', 'none.j2'] ignore missing -%}</body>\n",
    "report/templates/foot.html.j2": "<footer></footer>\n",
    "report/templates/data.html.j2": "<p></p>\n",
    "training/train.py": """
from ssp_model.nn.methods import METHODS

def train(dataset):
    loss = dataset * 2
    with progress(total=dataset):
        pass
    if loss > 1:
        raise
    return loss
""",
}
"""Trains, writes pages, and has two methods."""


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A small package in the place of ours."""
    folder = tmp_path / "ssp_model"
    for name, text in MODULES.items():
        write(folder / name, text)
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    return folder


@pytest.fixture(autouse=True)
def _read_anew():
    yield
    clear()


def clear() -> None:
    provenance._read_source.cache_clear()
    provenance._read_data.cache_clear()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def digest(*modules: str) -> str:
    clear()
    return source_digest(*modules)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# Logging and wording do not count


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss = dataset * 2", "loss  =  dataset*2  # twice"),
        ("def train(dataset):\n", 'def train(dataset):\n    """Train."""\n'),
        ("\nfrom", '\n"""How to train."""\nfrom'),
        ("METHODS\n", 'METHODS\n"""Their names."""\n'),
        ("return loss", 'logger.info("the loss is %g", loss)\n    return loss'),
        ("return loss", "log.logger.warning(f'{loss}')\n    return loss"),
        ("return loss", "warnings.warn('high')\n    return loss"),
        ("\nfrom", "\nimport logging, warnings\nlogger = logging.getLogger(__name__)\nfrom"),
        ("\nfrom", "\nfrom ssp_model.log import logger\nfrom ssp_model.errors import InputError\nfrom"),
        ("raise", "raise InputError(f'the loss is {loss}; lower the rate') from None"),
        ("progress(total=dataset)", "progress('train', total=dataset)"),
        ("progress(total=dataset)", "progress(total=dataset, description=f'{dataset}', unit='images')"),
    ],
)
def test_logging_and_wording_do_not_count(package, old, new):
    before = digest("training.train")
    replace(package / "training/train.py", old, new)
    assert digest("training.train") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dataset * 2", "dataset * 3"),
        ("loss > 1", "loss > 2"),
        ("        raise\n", "        pass\n"),
        ("total=dataset", "total=len(dataset)"),
        ("return loss", "loss.info(2)\n    return loss"),
        ("return loss", "warnings.simplefilter('error')\n    return loss"),
    ],
)
def test_code_counts(package, old, new):
    before = digest("training.train")
    replace(package / "training/train.py", old, new)
    assert digest("training.train") != before


# Imports


def test_imports_are_followed(package):
    before = digest("nn.methods.repmode")
    replace(package / "nn/blocks.py", "1", "2")
    assert digest("nn.methods.repmode") != before


def test_imports_within_functions_are_followed(package):
    write(package / "nn/unet.py", "def net():\n    from ssp_model.nn import blocks\n")
    before = digest("nn.unet")
    replace(package / "nn/blocks.py", "1", "2")
    assert digest("nn.unet") != before


def test_imports_for_types_are_not(package):
    alone = digest("nn.blocks")
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ssp_model.nn.unet import net\n"
    write(package / "nn/blocks.py", types + MODULES["nn/blocks.py"])
    assert digest("nn.blocks") == alone
    write(package / "nn/blocks.py", types + "else:\n    Block = 1\n")
    assert digest("nn.blocks") == alone


def test_what_is_imported_counts(package):
    before = digest("nn.unet")
    replace(package / "nn/unet.py", "import Block\n", "import Other as Block\n")
    assert digest("nn.unet") != before


def test_this_package_is_imported_in_the_way_that_is_followed():
    """By `from ssp_model.wing.module import name`, always."""
    for path in (PROJECT / "ssp_model").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), path
        imported = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        assert not any(name.startswith("ssp_model.") for name in imported), path


# Data files count


@pytest.mark.parametrize("name", ["overview", "base", "foot"])
def test_a_page_counts_its_template_and_those_that_it_takes_in(package, name):
    before = digest("report.overview")
    write(package / f"report/templates/{name}.html.j2", "<p>another</p>\n")
    assert digest("report.overview") != before


def test_a_page_does_not_count_other_templates(package):
    before = digest("report.overview")
    write(package / "report/templates/data.html.j2", "<p>another</p>\n")
    assert digest("report.overview") == before


@pytest.mark.parametrize("name", ["published_table1.tsv", "report/published_table1.tsv"])
def test_a_table_that_a_module_names_counts(package, name):
    write(package / "report/published.py", f"table = read('{name}')\n")
    before = digest("report.published")
    write(package / "report/published_table1.tsv", "r2\n0.6\n")
    assert digest("report.published") != before


# A method counts its own file alone


@pytest.mark.parametrize(("changed", "counts"), [("repmode", True), ("dodnet", False), ("__init__", False)])
def test_a_method_counts_its_own_file_alone(package, changed, counts):
    asked = ("training.train", "nn.methods.repmode")
    before = digest(*asked)
    path = package / f"nn/methods/{changed}.py"
    path.write_text(path.read_text() + "width = 32\n")
    assert (digest(*asked) != before) == counts


# A move changes nothing


def test_moving_a_module_changes_nothing(package):
    before = digest("nn.methods.repmode")
    (package / "layers").mkdir()
    (package / "nn/blocks.py").rename(package / "layers/cells.py")
    replace(package / "nn/unet.py", "ssp_model.nn.blocks", "ssp_model.layers.cells")
    assert digest("nn.methods.repmode") == before


def test_moving_a_page_with_its_data_changes_nothing(package):
    before = digest("report.overview", "report.published")
    (package / "report").rename(package / "pages")
    replace(package / "pages/overview.py", "ssp_model.report", "ssp_model.pages")
    replace(package / "pages/published.py", "report/", "pages/")
    assert digest("pages.overview", "pages.published") == before


# The real package


def test_digests_of_the_real_package():
    assert source_digest("training.train") != source_digest("evaluation.evaluate")


def test_every_plumbing_module_of_the_real_package_exists():
    missing = {name for name in provenance.PLUMBING if not provenance._path(name).is_file()}
    assert not missing


def test_all_data_files_of_the_real_package_count():
    """Tables and templates are named in a way that the digest finds."""
    files = [path for path in (PROJECT / "ssp_model").rglob("*.*") if path.suffix in (".csv", ".j2", ".tsv")]
    for path in (PROJECT / "ssp_model/report").glob("[!_]*.py"):
        source_digest(f"report.{path.stem}")
    assert provenance._read_data.cache_info().currsize == len(files) > 0


# Logs of failed jobs


def test_logs_of_failed_jobs_are_found(tmp_path):
    line = "    log: {} (check log file(s) for error details)\n"
    failed = line.format("results/logs/x.log"), line.format("s3://bucket/run/results/logs/y.log (send to storage)")
    (tmp_path / "snakemake.log").write_text(f"Error in rule x:\n{failed[0]}{failed[0]}Error in rule y:\n{failed[1]}")
    found = failed_job_logs([tmp_path / "snakemake.log"])
    assert found == ["results/logs/x.log", "s3://bucket/run/results/logs/y.log"]


def test_a_failed_job_of_a_cluster_has_two_logs(tmp_path):
    (tmp_path / "snakemake.log").write_text("    log: job.log, slurm/7.log (check log file(s) for error details)\n")
    assert failed_job_logs(tmp_path / "snakemake.log") == ["job.log", "slurm/7.log"]


def test_jobs_find_this_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    provenance.let_jobs_import_package()
    provenance.let_jobs_import_package()
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(PROJECT), "mine"]
