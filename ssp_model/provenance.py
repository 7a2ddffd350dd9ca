"""Provenance: which source code made a result, and which logs tell why a job failed."""

import ast
import hashlib
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent

PLUMBING = {
    "config.docs",
    "config.read",
    "config.schema",
    "data.left_out",
    "errors",
    "fetch",
    "files",
    "log",
    "models.address",
    "models.s3",
    "models.store",
    "nn.methods",
    "processes",
    "provenance",
    "scratch",
    "training.scratch",
    "training.stop",
    "training.tracking",
    "training.training_log",
}
"""Modules that change no result. A rule lists the config values and the method that it uses by itself."""

UNCOUNTED_LIBRARIES = {"logging", "typing", "warnings"}
"""Imports of these come and go with log lines and annotations."""


def source_digest(*modules: str, script: str | Path | None = None) -> str:
    """Return a digest of modules of this package, and of a script, and of all that they import from the package.

    A rule that has the digest among its params runs again when the code has changed. Counted are statements and the
    content of data files that a module names (tables, templates). Not counted are names and places of modules,
    docstrings, comments, log lines, and what errors say. A condition around a log line counts.

    Parameters
    ----------
    *modules : str
        Names within the package, such as `training.train` or `nn.methods.repmode`.
    script : path, optional
        A Python file outside of the package.
    """
    sources = {} if script is None else {str(script): _read_source(Path(script))}
    pending = {*modules, *(name for source in sources.values() for name in source.imports)}
    while pending:
        name = pending.pop()
        if name not in sources and (name not in PLUMBING or name in modules):
            sources[name] = _read_source(_path(name))
            pending |= sources[name].imports
    return _sha256(*sorted({source.digest for source in sources.values()}))[:16]


class _Source(NamedTuple):
    """A module: the digest of what it computes, and the modules of this package that it imports."""

    digest: str
    imports: frozenset[str]


@cache
def _read_source(path: Path) -> _Source:
    reader = _Reader(path.parent)
    code = ast.unparse(reader.visit(ast.parse(path.read_text(encoding="utf-8"))))
    return _Source(_sha256(code, *sorted(reader.names)), frozenset(reader.modules))


class _Reader(ast.NodeTransformer):
    """Reduce a module to the statements that compute, and note what it imports from this package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: set[str] = set()
        self.names: set[str] = set()

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop docstrings, log lines and warnings."""
        match node.value:
            case ast.Constant(value=str()):
                return None
            case ast.Call(func=ast.Attribute(value=ast.Name("logger") | ast.Attribute(attr="logger"))):
                return None
            case ast.Call(func=ast.Attribute(value=ast.Name("warnings"), attr="warn")):
                return None
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """Drop the making of the logger."""
        match node.targets:
            case [ast.Name("logger")]:
                return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Drop what an error says."""
        return ast.Raise()

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Drop the texts of a progress bar."""
        match node.func:
            case ast.Name("progress") | ast.Attribute(attr="progress"):
                node.args = [arg for arg in node.args if not _is_text(arg)]
                node.keywords = [keyword for keyword in node.keywords if not _is_text(keyword.value)]
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Drop what only a type checker reads."""
        match node.test:
            case ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
                return self.visit(ast.Module(node.orelse, [])).body
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        """Drop the libraries that do not count."""
        node.names = [alias for alias in node.names if alias.name not in UNCOUNTED_LIBRARIES]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """Note the names imported from this package; the path of their module does not count."""
        library, _, module = (node.module or "").partition(".")
        if library != PACKAGE.name:
            return None if library in UNCOUNTED_LIBRARIES else node
        for alias in node.names:
            submodule = f"{module}.{alias.name}".lstrip(".")
            source = submodule if _path(submodule).is_file() else module
            self.modules.add(source)
            if source not in PLUMBING:
                self.names.add(f"{alias.name} as {alias.asname or alias.name}")
        return None

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Put the content of a data file in the place of its name."""
        content = _content(node.value, self.folder) if isinstance(node.value, str) else ""
        return ast.Constant(content) if content else node


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _path(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _content(name: str, folder: Path) -> str:
    """Return a digest of the data file that a text names, with the templates that it takes in; else an empty text."""
    if not re.fullmatch(r"\w[\w/-]*(\.\w+)+", name) or name.endswith(".py"):
        return ""
    path = next((path / name for path in (folder, folder / "templates", PACKAGE) if (path / name).is_file()), None)
    return _read_data(path) if path else ""


@cache
def _read_data(path: Path) -> str:
    data = path.read_bytes()
    # {% extends "base.html.j2" %}, {% include ["head.html.j2", "foot.html.j2"] %}
    tags = re.findall(r"{%.*?%}", data.decode(), re.DOTALL) if path.suffix == ".j2" else []
    texts = re.findall(r"""["'](.+?)["']""", "".join(tags))
    return _sha256(data.hex(), *(_content(text, path.parent) for text in texts if text != path.name))


def _sha256(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def let_jobs_import_package() -> None:
    """Let processes that this one starts import this package, also in environments where it is not installed."""
    paths = [str(PACKAGE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in dict.fromkeys(paths) if path)


def failed_job_logs(snakemake_logs: str | Path | Sequence[str | Path]) -> list[str]:
    """Return the logs of the jobs that failed, in the order in which Snakemake's own log names them."""
    files = [snakemake_logs] if isinstance(snakemake_logs, str | Path) else snakemake_logs
    text = "".join(Path(file).read_text(encoding="utf-8") for file in files)
    lines = re.findall(r"^    log: (.+) \(check log file\(s\) for error details\)$", text, re.MULTILINE)
    # on a cluster, a job's line also names the scheduler's log
    paths = [path.removesuffix(" (send to storage)") for line in lines for path in line.split(", ")]
    return list(dict.fromkeys(paths))
