"""The package's wings: imports only go downwards."""

import ast

import pytest

from tests.helpers import PROJECT

PACKAGE = PROJECT / "ssp_model"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
GROUND = {"errors", "files", "log", "hardware", "provenance"}
MAY_IMPORT = {
    "config": set(),
    "nn": set(),
    "models": {"nn", "config"},
    "images": set(),
    "collection": {"images", "config"},
    "simulation": set(),
    "data": {"collection", "images", "models", "config"},
    "prediction": {"nn", "models", "data", "images", "config"},
    "evaluation": {"prediction", "data", "models", "images", "config"},
    "figures": {"evaluation.metrics"},
    # not evaluation: a new metric must not train a model again
    "training": {"figures", "prediction", "data", "models", "nn", "config"},
    "report": {"figures", "evaluation", "data", "models", "images"},
}
"""By wing: the wings, or modules of wings, that it may import besides its own and the ground."""


def imports(path) -> set[str]:
    """Modules of the package that a module imports, wherever it does."""
    return {
        node.module.removeprefix("ssp_model.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ssp_model.")
    }


def imported_upwards(path) -> list[str]:
    wing = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if wing == "cli":
        return []
    if wing in GROUND:
        return sorted(imports(path) - GROUND)
    allowed = {wing} | MAY_IMPORT[wing] | (set() if wing == "nn" else GROUND)
    return sorted(name for name in imports(path) if not any(f"{name}.".startswith(f"{other}.") for other in allowed))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    assert imported_upwards(path) == []


@pytest.mark.parametrize("wing", sorted(MAY_IMPORT))
def test_a_wing_opens_with_what_it_is_for_and_imports_nothing(wing):
    (docstring,) = ast.parse((PACKAGE / wing / "__init__.py").read_text()).body
    assert isinstance(docstring, ast.Expr)


def test_tests_mirror_the_package():
    unit = PROJECT / "tests/unit"
    tested = {path.relative_to(unit) for path in unit.rglob("test_*.py")}
    modules = {path.relative_to(PACKAGE) for path in MODULES}
    assert {path for path in tested if path.with_name(path.name.removeprefix("test_")) not in modules} == set()
