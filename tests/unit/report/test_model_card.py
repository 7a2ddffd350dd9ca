"""The model card."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt

from ssp_model.errors import InputError
from ssp_model.evaluation.metrics import METRICS
from ssp_model.files import sha256_of
from ssp_model.models.model_file import load_model, read_info, save_model
from ssp_model.report.model_card import find_datasets, make_card, model_card_page
from tests.helpers import GOLDEN, make_datasets

OLD_MODEL = GOLDEN / "models/0.1.0/model.safetensors"


@pytest.fixture
def datasets(tmp_path):
    make_datasets(tmp_path, {"tom20": (0, 1, 2), "zo1": (0, 1)})
    return find_datasets(tmp_path)


@pytest.fixture
def pages(tmp_path):
    """The folder of a run's pages, with their pictures."""
    for name in ("composite/composite", "scores/scores", "structures/tom20/median", "structures/zo1/median"):
        path = tmp_path / f"pages/{name}.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode())
    return tmp_path / "pages"


@pytest.fixture
def change(model):
    """Writes the model file anew with something changed."""

    def write(**entries):
        save_model(load_model(model)[0], replace(read_info(model), **entries), model)

    return write


def header_of(text: str) -> dict:
    """The YAML between the first two lines of dashes, found as the Hub finds it."""
    return yaml.safe_load(re.match(r"---[\n\r]+([\S\s]*?)[\n\r]+---[\n\r]", text)[1])


def test_statistics_of_training_images_are_mentioned(model, change):
    assert "statistics of" not in make_card(model).text
    change(signals={"version": 1, "num_images": 9, "measures": [{}] * 2})
    assert "The model file holds statistics of 2 training images: `ssp predict` warns" in make_card(model).text


def line_of(text: str, start: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return line


def test_what_nobody_told_is_unknown(model):
    text = make_card(model).text
    for question in ("Kind of transmitted light", "Dataset", "Licence of the images", "Microscope", "Cells", "Makers"):
        assert line_of(text, f"| {question} |") == f"| {question} | unknown |"
    assert line_of(text, "| tom20") == "| tom20 | unknown |"
    assert line_of(text, "| Licence of the model") == "| Licence of the model | unknown |"
    assert "The number of training, validation and test images is unknown." in text
    assert "How good the predictions are is unknown" in text
    assert "## Pictures" not in text
    header = header_of(text)
    assert header["library_name"] == "ssp-model"
    assert header["pipeline_tag"] == "image-to-image"
    assert not {"license", "metrics", "model-index"} & set(header)


def test_what_the_model_file_tells(model):
    card = make_card(model)
    assert card.title == "RepMode, seed 3"
    assert "# RepMode, seed 3\n" in card.text
    assert "0.300 x 0.300 x 0.300 um" in card.text
    assert f"`{sha256_of(model)}`" in card.text
    assert f"{model.stat().st_size:,} bytes" in card.text
    num_parameters = sum(parameter.numel() for parameter in load_model(model)[0].parameters())
    assert f"{num_parameters:,} parameters" in card.text
    assert "| `model.width` | 2 |" in card.text
    assert "| `training.seed` | 3 |" in card.text


def test_models_of_all_kinds_have_a_card(model, change):
    old = make_card(OLD_MODEL).text
    assert "| `train.devices` | 1 |  |" in old
    assert "| `train.ema` | null |" in old
    change(voxel_size_um=None, training={})
    text = make_card(model).text
    assert "had no pixel sizes" in text
    assert "How it was trained is unknown." in text
    change(training={"parts": {"tom20": {"epoch": 4}}, "extends": {"experiment": "old"}})
    text = make_card(model).text
    assert "| `training.parts.tom20.epoch` | 4 |" in text
    assert "| `training.extends.experiment` | old |" in text


def test_what_a_person_told(model, tmp_path):
    about = {
        "name": "Toy *organelles*",
        "license": "CC-BY-4.0",
        "cells": "HeLa",
        "structures": {"zo1": "tight junctions | <b>"},
        "dataset": {"name": "Toy images", "address": "https://example.org/toy"},
        "limits": ["Only in summer."],
    }
    (tmp_path / "about.yaml").write_text(yaml.safe_dump(about))
    text = make_card(model, about=tmp_path / "about.yaml").text
    assert "# Toy \\*organelles\\*\n" in text
    assert line_of(text, "| zo1") == "| zo1 | tight junctions \\| \\<b\\> |"
    assert line_of(text, "| Cells") == "| Cells | HeLa |"
    assert "The cells in the training images: HeLa." in text
    assert line_of(text, "| Address") == "| Address | <https://example.org/toy> |"
    assert "- Only in summer.\n" in text
    assert header_of(text)["license"] == "cc-by-4.0"
    (tmp_path / "about.yaml").write_text("structures: {golgi: x}")
    with pytest.raises(InputError, match="structures has golgi, but the model predicts tom20, zo1 only"):
        make_card(model, about=tmp_path / "about.yaml")


def test_scores_stand_in_text_and_header(model, tmp_path, write_scores):
    write_scores(tmp_path / "scores", ["tom20"], 0.5, "tiny", 7)
    text = make_card(model, scores=tmp_path / "scores").text
    assert "0.500 (0.400 to 0.600)" in line_of(text, "| tom20 | 3")
    assert line_of(text, "| all, mean over images | 3 |")
    assert "of the run tiny, seed 7" in text
    assert "The model file calls its run seed 3." in text
    # one that has no score, and none that is useless
    assert "How good it is for zo1 is unknown." in text
    assert "Do not use it for tom20" not in text
    header = header_of(text)
    assert header["metrics"] == ["mse", "mae", "r_squared", "pearsonr", "ssim", "psnr"]
    (entry,) = header["model-index"]
    assert entry["name"] == "RepMode, seed 3"
    assert len(entry["results"]) == 3
    result = entry["results"][0]
    assert result["task"] == {"type": "image-to-image", "name": "fluorescence from transmitted light: tom20"}
    assert result["dataset"]["type"] == "unknown"
    assert result["metrics"][2] == {"type": "r_squared", "value": 0.5, "name": "R², 95% interval 0.400 to 0.600"}


def test_useless_and_undefined_scores(model, tmp_path, write_scores):
    write_scores(tmp_path / "scores", ["tom20", "zo1"], -0.0001)
    for name in ("per_structure", "overall"):
        path = tmp_path / f"scores/{name}.csv"
        undefined = dict.fromkeys([f"{metric}_{end}" for metric in METRICS for end in ("low", "high")], np.nan)
        pd.read_csv(path).assign(**undefined, pearson=np.nan).to_csv(path, index=False)
    text = make_card(model, scores=tmp_path / "scores").text
    assert "**Do not use it for tom20, zo1.**" in text
    assert "undefined" in line_of(text, "| tom20 | 3")
    metrics = header_of(text)["model-index"][0]["results"][0]["metrics"]
    assert "pearsonr" not in [metric["type"] for metric in metrics]
    assert metrics[0] == {"type": "mse", "value": 0.0, "name": "MSE"}
    assert "-0.0\n" not in text


def test_wrong_scores_are_named(model, tmp_path, write_scores):
    folder = tmp_path / "scores"
    with pytest.raises(InputError, match=r"scores has no per_structure\.csv; give the folder"):
        make_card(model, scores=folder)
    write_scores(folder, ["golgi"], 0.5)
    with pytest.raises(InputError, match="has scores of golgi, but the model predicts tom20, zo1 only"):
        make_card(model, scores=folder)
    write_scores(folder, ["tom20"], 0.5)
    overall = pd.read_csv(folder / "overall.csv")
    overall.assign(seed=9).to_csv(folder / "overall.csv", index=False)
    with pytest.raises(InputError, match="should be of one run"):
        make_card(model, scores=folder)
    overall.drop(columns="r2_low").to_csv(folder / "overall.csv", index=False)
    with pytest.raises(InputError, match=r"overall\.csv has no column r2_low"):
        make_card(model, scores=folder)
    overall.assign(r2="x").to_csv(folder / "overall.csv", index=False)
    with pytest.raises(InputError, match=r"overall\.csv has no number in column r2"):
        make_card(model, scores=folder)
    (folder / "overall.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"overall\.csv can't be read as a table"):
        make_card(model, scores=folder)


def test_images_are_counted(model, datasets, change):
    change(config={"preprocess": {"scale": [1, 1, 1]}})
    text = make_card(model, datasets=datasets).text
    assert "| structure | training images | validation images | test images |" in text
    assert line_of(text, "| tom20 | 3") == "| tom20 | 3 | 1 | 2 |"
    assert line_of(text, "| zo1 | 2") == "| zo1 | 2 | 1 | 2 |"
    assert "| Transmitted light, as the image files call it | signal |" in text
    assert "too good" not in text
    # what an extended model knew before was learnt from other images
    change(training={"extends": {}}, config={"preprocess": {"scale": [1, 1, 1]}})
    assert "\n| tom20 | unknown | unknown | 2 |\n" in make_card(model, datasets=datasets).text


def test_test_images_that_were_trained_on_are_told(model, datasets, change):
    change(config={"preprocess": {"scale": [1, 1, 1]}})
    with h5py.File(datasets["train"]) as train, h5py.File(datasets["test"], "r+") as test:
        test["index/source_sha256"][0] = train["index/source_sha256"][0]
    text = make_card(model, datasets=datasets).text
    assert "**1 test image is from files that training or validation\nimages come from too." in text


def test_datasets_of_another_training_are_refused(model, datasets, tmp_path):
    with pytest.raises(InputError, match=r"train\.h5 was made with other settings than the data that the model was"):
        make_card(model, datasets=datasets)
    # the test images may come from elsewhere
    make_card(model, datasets={"test": datasets["test"]})
    with h5py.File(datasets["test"], "r+") as file:
        file.attrs["voxel_size_um"] = [1, 1, 1]
    with pytest.raises(InputError, match="but the model was trained at"):
        make_card(model, datasets={"test": datasets["test"]})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty has no datasets \(train\.h5, val\.h5, test\.h5\)"):
        find_datasets(tmp_path / "empty")


def test_pictures_lie_beside_the_card(model, pages, tmp_path):
    card = make_card(model, pictures=pages)
    card.write(tmp_path / "out/README.md")
    text = (tmp_path / "out/README.md").read_text()
    paths = re.findall(r"!\[.*\]\((.*)\)", text)
    assert paths == [f"pictures/{name}.png" for name in ("all", "structure-tom20", "structure-zo1", "scores")]
    assert (tmp_path / "out" / paths[1]).read_bytes() == b"structures/tom20/median"
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"none has no pictures \(looked for composite/composite\.png and others\)"):
        make_card(model, pictures=tmp_path / "none")


def test_a_name_that_leads_elsewhere_has_no_picture(model, pages, tmp_path, change):
    change(structures=("../../evil", "zo1"))
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/median.png").touch()
    assert [picture.name for picture in make_card(model, pictures=pages).pictures] == [
        "all.png",
        "structure-zo1.png",
        "scores.png",
    ]


def test_nothing_is_replaced_without_being_told(model, pages, tmp_path):
    card = make_card(model, pictures=pages)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/scores.png").write_text("mine")
    with pytest.raises(InputError, match=r"pictures/scores\.png is there already; give another file with --output"):
        card.write(tmp_path / "README.md")
    assert not (tmp_path / "README.md").exists()
    card.write(tmp_path / "README.md", overwrite=True)
    assert (tmp_path / "pictures/scores.png").read_text() == "scores/scores"
    with pytest.raises(InputError, match=r"README\.md is there already"):
        card.write(tmp_path / "README.md")
    with pytest.raises(InputError, match="is a folder; give a file to write"):
        card.write(tmp_path / "pictures", overwrite=True)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.safetensors"):
        make_card(tmp_path / "x.safetensors")


def test_what_a_strangers_file_says_is_only_text(model, change):
    evil = "<script>alert(1)</script> | [x](javascript:y)"
    change(
        structures=(evil, "zo1"),
        training={"experiment": evil, "seed": [evil], evil: {evil: evil}},
        config={"train": {evil: evil}, "split": evil},
    )
    tokens = MarkdownIt("commonmark").enable("table").parse(make_card(model).body)
    inner = [child for token in tokens for child in token.children or ()]
    assert not [token for token in (*tokens, *inner) if token.type.startswith("html")]
    assert {token.attrGet("href") for token in inner if token.type == "link_open"} == {
        "https://arxiv.org/abs/2212.10066"
    }
    texts = "".join(token.content for token in inner if token.type.startswith("text"))
    assert evil in texts


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_shows_the_card(model, pages, datasets, change, open_page, write_scores, tmp_path, width):
    change(config={"preprocess": {"scale": [1, 1, 1]}, "train": {"epochs": 3}})
    for path in pages.rglob("*.png"):
        path.write_bytes((GOLDEN.parents[1] / "docs/images/demo.png").read_bytes())
    write_scores(tmp_path / "scores", ["tom20", "zo1"], 0.5)
    page = pages / "model_card.html"
    model_card_page(model, page, scores=tmp_path / "scores", datasets=datasets, about=None)
    assert (pages / "model_card/README.md").read_text().startswith("---\n")
    assert (pages / "model_card/pictures/all.png").exists()
    # again, over the one that is there
    model_card_page(model, page, scores=tmp_path / "scores", datasets={}, about=None)
    shown = open_page(page, width)
    assert shown.locator("h1").all_text_contents() == ["RepMode, seed 3"]
    assert "Limits" in shown.locator("h2").all_text_contents()
    assert "library_name" not in shown.content()
    assert shown.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1400:
        assert shown.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)")
