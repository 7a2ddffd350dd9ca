"""The package's wings: imports only go downwards."""

import ast

import pytest

from tests.helpers import PROJECT

PACKAGE = PROJECT / "ssp_model"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
GROUND = ["errors", "files", "log", "hardware", "provenance"]
MAY_IMPORT = {
    "config": ["errors"],
}
"""By wing: the wings, or modules of wings, that it may import besides its own and the ground."""


def imports(path) -> set[str]:
    """Modules of the package that a module imports, wherever it does."""
    return {
        node.module.removeprefix("ssp_model.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ssp_model.")
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    wing = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if wing in GROUND:
        assert imports(path) <= set(GROUND)
    if wing in MAY_IMPORT:
        allowed = [wing, *MAY_IMPORT[wing], *GROUND]
        assert [name for name in imports(path) if not any(f"{name}.".startswith(f"{a}.") for a in allowed)] == []
