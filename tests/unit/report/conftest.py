"""A browser, and the tables and images that pages show."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssp_model.evaluation.metrics import METRICS
from ssp_model.images.ome_tiff import write_channels

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="session")
def browser():
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Opens a file without a network; fails if the page asks for one or complains."""
    complaints = []

    def open_file(path, width=1400):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.context.set_offline(True)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
        )
        page.goto(path.as_uri())
        return page

    yield open_file
    assert not complaints


@pytest.fixture
def stack(tmp_path) -> Path:
    """Signal, target and prediction that differ from plane to plane."""
    z, y, x = np.meshgrid(np.arange(6), np.arange(20), np.arange(24), indexing="ij")
    signal, target = (z + y).astype(np.float32), (z * 4 + x).astype(np.float32)
    write_channels(tmp_path / "a.ome.tif", [signal, target, target + 3], ["s", "t", "p"], (1.0, 0.5, 0.5))
    return tmp_path / "a.ome.tif"


@pytest.fixture
def write_scores():
    """Writes per_image.csv, per_structure.csv and overall.csv of a run; all its scores are one number."""

    def write(folder, structures, value, experiment="tiny", seed=0) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        run = {"experiment": experiment, "seed": seed}
        scores = dict.fromkeys(METRICS, value)
        intervals = {f"{metric}_{end}": value + by for metric in METRICS for end, by in (("low", -0.1), ("high", 0.1))}
        image = {"image": "data/a.czi", "place": "", "file": ""}
        tables = {
            "per_image": [{**run, "structure": name, **scores, **image} for name in structures for _ in range(3)],
            "per_structure": [{**run, "structure": name, "images": 3, **scores, **intervals} for name in structures],
            "overall": [
                {**run, "mean_over": over, "images": 3 * len(structures), **scores, **intervals}
                for over in ("images", "structures")
            ],
        }
        for name, rows in tables.items():
            pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
        return [folder / f"{name}.csv" for name in tables]

    return write
