"""The page that says how far predictions can be trusted."""

import h5py
import numpy as np
import pandas as pd
import pytest

from ssp_model.config.schema import ScoringConfig
from ssp_model.evaluation.metrics import METRICS, PANELS, UNCERTAINTY
from ssp_model.report.trust import Scores, Uncertainty, kinds_table, trust_page

STRUCTURES = ["dna", "zo1"]
SCORING = ScoringConfig(panels=tuple(PANELS), objects={})


def add_groups(dataset, group):
    """Give all samples of a dataset the same group."""
    with h5py.File(dataset, "a") as file:
        number = len(file["index/task"])
        file.create_dataset("index/group", data=[group] * number, dtype=h5py.string_dtype())


def write_run(folder, *, panels=tuple(PANELS), known=True, groups=None, train_set=None):
    """Write the tables and the curves of a run."""
    images = pd.DataFrame({"structure": np.repeat(STRUCTURES, 3), **dict.fromkeys((*METRICS, "r2_ceiling"), 0.5)})
    if groups:
        images["group"] = groups
    images.to_csv(folder / "per_image.csv", index=False)
    metrics = [metric.name for name in panels for metric in PANELS[name]]
    metrics += ["r2", "pearson"]
    numbers = {f"{metric}{end}": 0.5 if known else np.nan for metric in metrics for end in ("", "_low", "_high")}
    rows = [{"experiment": "tiny", "seed": 7, "structure": name, "images": 6, **numbers} for name in STRUCTURES]
    pd.DataFrame(rows).to_csv(folder / "per_structure.csv", index=False)
    names = ("fsc_xy", "half_bit_xy", "fsc_z", "half_bit_z")
    points = [(image, curve, x / 8, 1 - x / 9) for image in "ab" for curve in names for x in range(1, 9)]
    curves = []
    for name in STRUCTURES:
        curves.append(folder / f"{name}.csv")
        pd.DataFrame(points if known else [], columns=["image", "curve", "x", "y"]).to_csv(curves[-1], index=False)
    return Scores(folder / "per_image.csv", folder / "per_structure.csv", curves, train_set)


def test_each_panel_has_its_section(tmp_path):
    trust_page(write_run(tmp_path), SCORING, tmp_path / "trust.html")
    html = (tmp_path / "trust.html").read_text()
    assert "How far to trust tiny, seed 7" in html
    assert "How good can a prediction be?" in html
    assert "Which details are right?" in html
    for panel in PANELS.values():
        assert all(metric.title in html for metric in panel)
    assert all((tmp_path / f"trust/{name}.png").exists() for name in ("noise", "resolution"))
    # the score beside what is possible
    assert html.index("<button>R²<") < html.index("<button>Highest possible R²<")


def write_uncertainty(folder, kind):
    """Write how the uncertainty of each structure was measured."""
    numbers = {f"{metric.name}{end}": 0.123 for metric in UNCERTAINTY for end in ("", "_low", "_high")}
    scores, levels = ([folder / f"{name}{end}.csv" for name in STRUCTURES] for end in ("_scores", "_levels"))
    for name, table, curve in zip(STRUCTURES, scores, levels, strict=True):
        row = {"structure": name, "uncertainty": kind, "images": 6, **numbers}
        pd.DataFrame([row]).to_csv(table, index=False)
        pd.DataFrame({"voxels": 9, "spread": [0.1, 0.2], "expected": 0.3, "error": 0.4}).to_csv(curve, index=False)
    return Uncertainty(scores, levels)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("flips", "Each image was also predicted flipped."),
        ("seeds", "by the models of all seeds."),
        ("both", "by the models of all seeds, and also flipped."),
    ],
)
def test_uncertainty_says_what_it_is_and_does_not_cover(tmp_path, kind, sentence):
    scores = write_run(tmp_path)._replace(uncertainty=write_uncertainty(tmp_path, kind))
    trust_page(scores, SCORING, tmp_path / "trust.html")
    html = " ".join((tmp_path / "trust.html").read_text().split())
    assert sentence in html
    assert "does not cover: images unlike those of training and validation" in html
    assert html.count("0.12 ") == 4 * len(STRUCTURES) or html.count(">0.12") == 4 * len(STRUCTURES), html.count("0.12")
    assert (tmp_path / "trust/uncertainty.png").exists()
    trust_page(scores._replace(uncertainty=None), SCORING, tmp_path / "trust.html")
    assert "does not cover" not in (tmp_path / "trust.html").read_text()


def test_what_is_left_out_is_said():
    scoring = ScoringConfig(panels=(), objects={"vessels": "spots", "zo1": "none"})
    table = kinds_table(["dna", "zo1", "tom20", "golgi", "vessels"], scoring)
    assert table.frame["segmented as"].tolist() == ["filled", "none", "filaments", "none", "spots"]
    assert [bool(reason) for reason in table.frame["left out"]] == [False, True, True, True, False]


def test_scores_of_groups(tmp_path, datasets):
    groups = ["plate 1", "plate 2", "plate 2"] * 2
    trust_page(write_run(tmp_path, groups=groups), SCORING, tmp_path / "trust.html")
    html = (tmp_path / "trust.html").read_text()
    assert "Does it hold in every group?" in html
    assert html.count(">plate 2<") == 2
    assert "of the same groups" not in html
    add_groups(datasets["train"], "plate 2")
    trust_page(write_run(tmp_path, groups=groups, train_set=datasets["train"]), SCORING, tmp_path / "trust.html")
    assert "of the same groups as these test images (plate 2)" in " ".join(
        (tmp_path / "trust.html").read_text().split()
    )


def test_a_training_set_without_groups(tmp_path, datasets):
    page = tmp_path / "trust.html"
    trust_page(write_run(tmp_path, groups=["a"] * 6, train_set=datasets["train"]), SCORING, page)
    assert "of the same groups" not in page.read_text()


def test_without_a_voxel_size(tmp_path):
    trust_page(write_run(tmp_path, known=False), SCORING, tmp_path / "trust.html")
    html = (tmp_path / "trust.html").read_text()
    assert "voxel size of these images is not known" in html
    assert "noise of these targets is not known" in html


def test_without_panels(tmp_path):
    trust_page(write_run(tmp_path, panels=(), known=False), SCORING, tmp_path / "trust.html")
    html = (tmp_path / "trust.html").read_text()
    assert "evaluate.panels is empty" in html
    assert (tmp_path / "trust").is_dir()


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_its_width(open_page, tmp_path, width):
    trust_page(write_run(tmp_path), SCORING, tmp_path / "trust.html")
    page = open_page(tmp_path / "trust.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
