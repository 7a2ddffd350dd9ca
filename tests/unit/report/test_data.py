"""The page of the data."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from ssp_model.data.splits import SPLITS
from ssp_model.report.data import count_images, data_page, noise_of_targets


def test_data_is_shown(tmp_path, datasets):
    splits = {task: {split: tmp_path / f"{task}-{split}.csv" for split in SPLITS} for task in ("tom20", "zo1")}
    left_out = tmp_path / "left_out.csv"
    left_out.write_text("task,image,reason\ntom20,data/a.czi,is cut short\n")
    data_page(splits, list(datasets.values()), [left_out], tmp_path / "data.html")
    html = (tmp_path / "data.html").read_text()
    assert "is cut short" in html
    assert "share the groups" not in html
    assert "0.300 x 0.300 x 0.300 um" in html
    assert "16 x 20 x 18 voxels" in html.replace("\n", " ")
    assert "data:image/png;base64," in html
    assert "data:image/svg+xml;base64," in html
    assert ">tom20</text>" in (tmp_path / "data/images.svg").read_text()


def test_groups_that_training_and_test_share(tmp_path, datasets):
    lists = {split: tmp_path / f"{split}.csv" for split in SPLITS}
    for path in lists.values():
        path.write_text("image\n1.czi\n")
    left_out = tmp_path / "left_out.csv"
    left_out.write_text("task,image,reason\n")
    for split in ("train", "test"):
        with h5py.File(datasets[split], "a") as file:
            groups = ["day 1"] * len(file["index/task"])
            file.create_dataset("index/group", data=groups, dtype=h5py.string_dtype())
    data_page({"zo1": lists}, list(datasets.values()), [left_out], tmp_path / "data.html")
    assert "Training and test share the groups day 1." in (tmp_path / "data.html").read_text()


def smooth(datasets, structure, images=slice(None), sigma=(2, 2, 2)):
    """Give targets a structure that changes slowly; those of the fixture are white noise."""
    for path in datasets.values():
        with h5py.File(path, "a") as file:
            numbers = np.flatnonzero(file["index/task"].asstr()[()] == structure)
            for number in numbers[images]:
                target = file[f"targets/{number:05d}"]
                target[...] = ndimage.gaussian_filter(target[()], sigma)


def write_data_page(folder, datasets):
    """Write the page, and return its text."""
    splits = {task: {split: folder / f"{task}-{split}.csv" for split in SPLITS} for task in ("tom20", "zo1")}
    left_out = folder / "left_out.csv"
    left_out.write_text("task,image,reason\n")
    data_page(splits, list(datasets.values()), [left_out], folder / "data.html")
    return (folder / "data.html").read_text().replace("\n", " ")


def test_a_structure_whose_targets_are_all_noise_is_named(tmp_path, datasets):
    smooth(datasets, "tom20")
    html = write_data_page(tmp_path, datasets)
    assert "Nearly all noise: zo1. A network can learn" in html
    assert "Images whose target is nearly all noise" not in html


def test_planes_that_are_far_apart_are_not_called_noise(tmp_path, datasets):
    smooth(datasets, "tom20")
    smooth(datasets, "zo1", sigma=(0, 2, 2))
    html = write_data_page(tmp_path, datasets)
    assert "100%" in html
    assert "early all noise:" not in html


def test_an_image_that_is_all_noise_is_named(tmp_path, datasets):
    smooth(datasets, "tom20")
    smooth(datasets, "zo1", images=slice(1, None))
    html = write_data_page(tmp_path, {"train": datasets["train"], "test": datasets["test"]})
    assert "Images whose target is nearly all noise: data/zo1/0.czi (zo1), data/zo1/4.czi (zo1)." in html
    assert "Nearly all noise:" not in html


def test_noise_is_measured_in_some_images(tmp_path, datasets):
    smooth(datasets, "tom20")
    shares = noise_of_targets(datasets["train"]).groupby("structure").noise.mean()
    assert shares.zo1 == pytest.approx(1, abs=0.1)
    assert shares.tom20 == pytest.approx(0, abs=0.02)


def test_noise_of_thin_images_is_not_known(tmp_path, datasets):
    with h5py.File(datasets["test"], "a") as file:
        for number in list(file["targets"]):
            thin = file[f"targets/{number}"][:3]
            del file[f"targets/{number}"]
            file[f"targets/{number}"] = thin
    assert noise_of_targets(datasets["test"]).noise.isna().all()


def test_images_are_counted(tmp_path):
    for split, number in {"train": 3, "val": 1, "test": 2}.items():
        pd.DataFrame({"image": range(number)}).to_csv(tmp_path / f"{split}.csv", index=False)
    shown = count_images({name: {split: tmp_path / f"{split}.csv" for split in SPLITS} for name in ("a", "b")})
    assert list(shown.heads) == ["structure", "training", "validation", "test", "all"]
    assert [cell.text for cell in shown.rows[1]] == ["b", "3", "1", "2", "6"]
    assert [cell.text for cell in shown.totals[0]] == ["all structures", "6", "2", "4", "12"]
