"""Which source code a result came from, and which job's log tells of a failure."""

import ast
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent

PLUMBING = {"__init__", "errors", "files", "log", "provenance"}
"""Modules that do not change a result's content."""


@lru_cache
def source_digest(*modules: str) -> str:
    """A digest of modules of this package and of those they import from it; comments and layout do not count.

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
        tree = ast.parse(_path(name).read_text(encoding="utf-8"))
        digests[name] = hashlib.sha256(ast.unparse(tree).encode()).hexdigest()
        pending += _imports(tree)
    return hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()[:16]


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


def failed_job_logs(snakemake_logs: str | Path | Sequence[str | Path]) -> list[str]:
    """Logs of the jobs that failed, that exist, as Snakemake's own log names them."""
    files = [snakemake_logs] if isinstance(snakemake_logs, str | Path) else snakemake_logs
    text = "".join(Path(file).read_text(encoding="utf-8") for file in files)
    named = re.findall(r"^    log: (.+) \(check log file\(s\) for error details\)$", text, re.MULTILINE)
    return [path for path in dict.fromkeys(named) if Path(path).exists()]
