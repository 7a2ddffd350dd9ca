"""The pages of pictures."""

import re

import numpy as np
import pandas as pd

from ssp_model.evaluation.metrics import METRICS
from ssp_model.evaluation.panel import Pair
from ssp_model.evaluation.regions import WorstRegions
from ssp_model.images.ome_tiff import write_channels
from ssp_model.report.predictions import composite_page, structure_page
from ssp_model.report.viewer import read_prediction


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
    image = read_prediction(stack)
    signal, target, prediction = (np.asarray(channel) for channel in image.channels)
    worst = WorstRegions()
    # the prediction is too bright everywhere
    worst.add("data/0.6.czi", signal, Pair(prediction, target, image.voxel_size_um, "tom20"))
    worst.write(tmp_path / "regions.h5")
    structure_page(
        tmp_path / "tom20.csv",
        stack.parent,
        tmp_path / "regions.h5",
        uncertain=None,
        structure="tom20",
        viewer=tmp_path / "viewers/tom20.html",
        page=tmp_path / "pages/tom20.html",
    )
    html = (tmp_path / "pages/tom20.html").read_text()
    assert "of 4 test images" in html
    headings = ["Best: R² 0.750", "Median: R² 0.500", "Worst: R² 0.250", "Where most is invented"]
    assert re.findall(r"<h2>(.*)</h2>", html) == headings
    assert html.count("data:image/png;base64,") == 4
    assert "data/0.6.czi" in html
    assert 'alt="Signal, target, prediction and error of the best image of tom20"' in html
    assert {path.name for path in (tmp_path / "pages/tom20").glob("*.svg")} == {
        f"{name}.svg" for name in ("best", "median", "worst", "invented")
    }
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
