"""The look of the report's figures. Colours are safe for colour-blind readers.

Figures are built without pyplot, so no backend is needed, and a style holds only inside `with style():`. So a notebook
or a viewer that imports this package keeps its own backend and its own style.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from ssp_model.files import replacing

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""The colours of Okabe and Ito."""
LINES = [(colour, dashes) for dashes in ("-", "--") for colour in COLOURS]
"""Colours and line styles of up to 14 lines: first solid, then dashed."""


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the report; afterwards Matplotlib has its old settings again.

    Use it as a context manager, or as a decorator of a function that draws.
    """
    with matplotlib.rc_context(
        {
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "figure.dpi": 150,
            "savefig.bbox": "tight",
            "svg.fonttype": "none",
        }
    ):
        yield


@style()
def save(figure: Figure, path: str | Path, suffixes: Sequence[str] = (".png", ".svg")) -> None:
    """Write a figure in several formats, side by side.

    Parameters
    ----------
    path : path
        File to write; each suffix replaces the path's own.
    suffixes : sequence of str
        One for each format.
    """
    for suffix in suffixes:
        with replacing(Path(path).with_suffix(suffix)) as temporary:
            figure.savefig(temporary)
