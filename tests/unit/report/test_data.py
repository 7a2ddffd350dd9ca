"""The page of the data."""

import h5py
import pandas as pd

from ssp_model.data.splits import SPLITS
from ssp_model.report.data import count_images, data_page


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


def test_images_are_counted(tmp_path):
    for split, number in {"train": 3, "val": 1, "test": 2}.items():
        pd.DataFrame({"image": range(number)}).to_csv(tmp_path / f"{split}.csv", index=False)
    shown = count_images({name: {split: tmp_path / f"{split}.csv" for split in SPLITS} for name in ("a", "b")})
    assert list(shown.heads) == ["structure", "training", "validation", "test", "all"]
    assert [cell.text for cell in shown.rows[1]] == ["b", "3", "1", "2", "6"]
    assert [cell.text for cell in shown.totals[0]] == ["all structures", "6", "2", "4", "12"]
