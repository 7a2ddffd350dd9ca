"""The report's figures. Colours are safe for colour-blind readers."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ssp_model.files import replacing

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"
# Okabe & Ito's colours; a second round takes dashed lines
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
LINES = [(colour, style) for style in ("-", "--") for colour in COLOURS]

plt.rcParams.update(
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
)


def save(figure: Figure, path: str | Path, suffixes: Sequence[str] = (".png", ".svg")) -> None:
    """Write a figure as PNG and, beside it, as SVG, and let it go."""
    for suffix in suffixes:
        with replacing(Path(path).with_suffix(suffix)) as temporary:
            figure.savefig(temporary)
    plt.close(figure)
