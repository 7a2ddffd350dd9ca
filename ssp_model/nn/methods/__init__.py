"""Methods: ways to predict several structures with one network. Each method is a file.

README.md beside this file shows how to add one.
"""

from importlib import import_module
from typing import Any

METHODS = {
    "repmode": "RepMode",
    "multi_net": "MultiNet",
    "multi_head_decoder": "MultiHeadDecoder",
    "multi_head_last": "MultiHeadLast",
    "condnet": "CondNet",
    "tsns": "TSNs",
    "pipo_fan": "PIPOFAN",
    "dodnet": "DoDNet",
    "tgnet": "TGNet",
}
"""Class of each method, by the name of its file."""


def method_class(name: str) -> type[Any]:
    """Return the class of a method, and import its file only.

    Raises
    ------
    KeyError
        The method does not exist.
    """
    return getattr(import_module(f"{__name__}.{name}"), METHODS[name])
