"""The package's wings: imports only go downwards."""

import ast

import pytest

from tests.helpers import PROJECT

PACKAGE = PROJECT / "ssp_model"


def has_code(path) -> bool:
    """Whether a file holds more than its docstring."""
    return path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 1


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if has_code(path))
GROUND = {"errors", "fetch", "files", "log", "scratch", "devices", "hardware", "processes", "provenance"}
MAY_IMPORT = {
    "config": set(),
    "nn": set(),
    "models": {"nn", "config"},
    "images": set(),
    "collection": {"images", "config"},
    "simulation": set(),
    "data": {"collection", "images", "models", "config"},
    "prediction": {"nn", "models", "data", "collection", "images", "config"},
    "evaluation": {"prediction", "data", "models", "images", "config"},
    "figures": {"evaluation.metrics"},
    # not evaluation: a new metric must not train a model again
    "training": {"figures", "prediction", "data", "models", "nn", "config"},
    "report": {"figures", "evaluation", "data", "models", "images", "config"},
    "napari_plugin": {"prediction", "data", "models", "images"},
    "export": {"report", "figures", "prediction", "data", "models", "nn", "simulation"},
}
"""By wing: the wings, or modules of wings, that it may import besides its own and the ground."""


def imports(path) -> set[str]:
    """Modules of the package that a module imports, wherever it does."""
    return {
        (alias.name if node.module == "ssp_model" else node.module).removeprefix("ssp_model.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("ssp_model.")
        for alias in node.names
    }


def imported_upwards(path) -> list[str]:
    wing = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if wing == "cli":
        return []
    if wing == "__init__":
        # imported when it is first used
        return sorted(imports(path) - {"prediction.predictor"})
    if wing in GROUND:
        return sorted(imports(path) - GROUND)
    allowed = {wing} | MAY_IMPORT[wing] | (set() if wing == "nn" else GROUND)
    return sorted(name for name in imports(path) if not any(f"{name}.".startswith(f"{other}.") for other in allowed))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    assert imported_upwards(path) == []


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from ssp_model import training", "training"),
        ("from ssp_model.nn import method", "nn"),
        ("from ssp_model.nn.method import Method", "nn.method"),
        ("def f():\n    from ssp_model import training as t", "training"),
    ],
)
def test_imports_of_the_package_are_seen(tmp_path, line, module):
    (tmp_path / "module.py").write_text(f"from . import here\nfrom torch import nn\n{line}\n")
    assert imports(tmp_path / "module.py") == {module}


def test_files_of_packages_are_checked_if_they_hold_code():
    names = {str(path.relative_to(PACKAGE)) for path in MODULES}
    assert "nn/methods/__init__.py" in names
    assert "nn/__init__.py" not in names


@pytest.mark.parametrize("wing", sorted(MAY_IMPORT))
def test_a_wing_opens_with_what_it_is_for_and_imports_nothing(wing):
    (docstring,) = ast.parse((PACKAGE / wing / "__init__.py").read_text()).body
    assert isinstance(docstring, ast.Expr)


def test_tests_mirror_the_package():
    unit = PROJECT / "tests/unit"
    tested = {path.relative_to(unit) for path in unit.rglob("test_*.py")}
    modules = {path.relative_to(PACKAGE) for path in MODULES}
    assert {path for path in tested if path.with_name(path.name.removeprefix("test_")) not in modules} == set()
