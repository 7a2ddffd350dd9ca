"""Methods: ways to predict several structures with one network, one file each.

To add one: write `nn/methods/{name}.py` with a class that is a `Method` (see `nn/method.py`), name it below, and
describe its settings in `config/schema.py`. Nothing else names a method.

| name | in the paper | class |
|---|---|---|
| `repmode` | RepMode | `RepMode` |
| `multi_head_last` | Multi-Head (Las.) | `MultiHeadLast` |
"""

from importlib import import_module

METHODS = {"repmode": "RepMode", "multi_head_last": "MultiHeadLast"}
"""By name of a method's file, its class."""


def method_class(name: str) -> type:
    """Return the class of a method; only its own file is imported.

    Raises
    ------
    KeyError
        There is no such method.
    """
    return getattr(import_module(f"{__name__}.{name}"), METHODS[name])
