"""The pages of pictures."""

import re

import numpy as np
import pandas as pd

from ssp_model.evaluation.metrics import METRICS
from ssp_model.images.ome_tiff import write_channels
from ssp_model.report.predictions import composite_page, structure_page


def test_a_structure_is_pictured(tmp_path, stack):
    places = {"best": 0.75, "": 0.6, "median": 0.5, "worst": 0.25}
    rows = [
        {
            "image": f"data/{r2}.czi",
            **dict.fromkeys(METRICS, r2),
            "place": place,
            "file": stack.name if place else "",
        }
        for place, r2 in places.items()
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "tom20.csv", index=False)
    structure_page(
        tmp_path / "tom20.csv", stack.parent, "tom20", tmp_path / "viewers/tom20.html", tmp_path / "pages/tom20.html"
    )
    html = (tmp_path / "pages/tom20.html").read_text()
    assert "of 4 test images" in html
    assert re.findall(r"<h2>(.*)</h2>", html) == ["Best: R² 0.750", "Median: R² 0.500", "Worst: R² 0.250"]
    assert html.count("data:image/png;base64,") == 3
    assert 'alt="Signal, target, prediction and error of the best image of tom20"' in html
    assert {path.name for path in (tmp_path / "pages/tom20").glob("*.svg")} == {"best.svg", "median.svg", "worst.svg"}
    assert "data/0.5.czi" in (tmp_path / "viewers/tom20.html").read_text()


def test_all_structures_are_pictured(tmp_path):
    volumes = list(np.random.default_rng(0).normal(size=(4, 6, 20, 24)).astype(np.float32))
    write_channels(tmp_path / "all.ome.tif", volumes, ["signal", "a", "b", "c"], None)
    composite_page(tmp_path / "all.ome.tif", tmp_path / "composite.html")
    html = (tmp_path / "composite.html").read_text()
    assert "the 3 structures" in html
    assert "data:image/png;base64," in html
    svg = (tmp_path / "composite/composite.svg").read_text()
    assert all(f">{name}</text>" in svg for name in ("a", "b", "c"))
