"""Which source code a result came from, and which job's log tells of a failure."""

import ast
import hashlib
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent

PLUMBING = {
    "errors",
    "files",
    "log",
    "provenance",
    "config.read",
    "config.schema",
    "training.scratch",
    "training.tracking",
}
"""Modules that do not change a result's content; values of the configuration are params of the rules that use them."""


@lru_cache
def source_digest(*modules: str) -> str:
    """A digest of modules of this package and of those they import from it; only code that computes counts.

    A rule that has it among its params runs again when its code has changed.

    Parameters
    ----------
    *modules : str
        Names within the package, such as `train` or `nn.repmode`.
    """
    pending, digests = list(modules), {}
    while pending:
        name = pending.pop()
        if name in digests or name in PLUMBING:
            continue
        tree = _Bare().visit(ast.parse(_path(name).read_text(encoding="utf-8")))
        digests[name] = hashlib.sha256(ast.unparse(tree).encode()).hexdigest()
        pending += _imports(tree)
    return hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()[:16]


class _Bare(ast.NodeTransformer):
    """Takes out what does not compute: texts that stand alone (docstrings), and what errors say."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """A docstring goes."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.Pass() if is_text else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """What is said of an error goes."""
        return ast.Raise()


def _path(name: str) -> Path:
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(tree: ast.AST) -> list[str]:
    prefix = f"{PACKAGE.name}."
    return [
        node.module.removeprefix(prefix)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(prefix)
    ]


def let_jobs_import_package() -> None:
    """Let processes started from here import this package, in environments too where it is not installed."""
    paths = [str(PACKAGE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in dict.fromkeys(paths) if path)


def failed_job_logs(snakemake_logs: str | Path | Sequence[str | Path]) -> list[str]:
    """Logs of the jobs that failed, as Snakemake's own log names them."""
    files = [snakemake_logs] if isinstance(snakemake_logs, str | Path) else snakemake_logs
    text = "".join(Path(file).read_text(encoding="utf-8") for file in files)
    named = re.findall(r"^    log: (.+) \(check log file\(s\) for error details\)$", text, re.MULTILINE)
    # a job of a cluster has that of the scheduler besides its own
    paths = [path.removesuffix(" (send to storage)") for names in named for path in names.split(", ")]
    return list(dict.fromkeys(paths))
