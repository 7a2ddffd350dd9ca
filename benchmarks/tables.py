"""What the benchmarks print, and keep in `results/benchmarks/`."""

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parents[1] / "results/benchmarks"


def show(name: str, context: str, rows: pd.DataFrame) -> None:
    """Print a table below a line on what was measured where, and write both to `results/benchmarks/{name}.txt`."""
    text = f"{context}\n{rows.to_string(index=False, float_format='{:.2f}'.format)}\n"
    print(text)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
