"""Methods: ways to predict several structures with one network. Each method is a file.

To add a method, write `nn/methods/{name}.py` with a class that is a `Method` (`nn/method.py`), name the class below,
and describe its settings in `config/schema.py`. Nothing else names a method. CONTRIBUTING.md lists the steps.
"""

from importlib import import_module
from typing import NamedTuple


class Entry(NamedTuple):
    """The class of a method in its file, and its name in RepMode's paper."""

    class_name: str
    title: str


METHODS = {
    "repmode": Entry("RepMode", "RepMode"),
    "multi_head_last": Entry("MultiHeadLast", "Multi-Head (Las.)"),
}
"""By name of a method's file."""


def method_class(name: str) -> type:
    """Return the class of a method; only its own file is imported.

    Raises
    ------
    KeyError
        There is no such method.
    """
    return getattr(import_module(f"{__name__}.{name}"), METHODS[name].class_name)
