"""Splits against the published ones, and what must hold for any list."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssp_model.collection.lists import read_list
from ssp_model.config.schema import DnaConfig, SplitConfig
from ssp_model.data.splits import (
    SPLITS,
    check_disjoint,
    split_dna,
    split_images,
    write_dna_splits,
    write_structure_splits,
)
from ssp_model.errors import InputError
from tests.helpers import GOLDEN

AS_PUBLISHED = SplitConfig(seed=42, train_fraction=0.75, fit_fraction=0.9)
DNA = DnaConfig(name="dna", quota={"train": 54, "val": 6, "test": 20})


def image_list(name: str, count: int) -> pd.DataFrame:
    paths = [f"data/{name}/{i}.czi" for i in range(count)]
    return pd.DataFrame({"path_czi": paths, "channel_signal": 6, "channel_target": 3})


def test_published_splits(shared_data):
    golden = json.loads((GOLDEN / "allen_splits.json").read_text())
    manifests = shared_data / "allen/manifests"
    structures = sorted(set(golden) - {"dna"})
    splits = {name: split_images(read_list(manifests / f"{name}.csv"), AS_PUBLISHED) for name in structures}
    splits["dna"] = split_dna(splits, read_list(manifests / "dna.csv"), DNA, seed=42)

    check_disjoint(splits)
    paths = {name: {split: list(rows.path_czi) for split, rows in of.items()} for name, of in splits.items()}
    assert paths == golden
    assert [sum(len(of[split]) for of in paths.values()) for split in SPLITS] == [628, 70, 233]


@given(st.integers(10, 200), st.integers(0, 2**32 - 1))
def test_every_image_is_in_exactly_one_split(count, seed):
    images = image_list("tom20", count)
    splits = split_images(images, SplitConfig(seed=seed, train_fraction=0.75, fit_fraction=0.9))
    assert sorted(path for rows in splits.values() for path in rows.path_czi) == sorted(images.path_czi)
    check_disjoint({"tom20": splits})


def test_too_few_images():
    with pytest.raises(InputError, match="2 images leaves no val and no test image"):
        split_images(image_list("tom20", 2), AS_PUBLISHED)


def test_dna_quota_larger_than_candidates():
    splits = {name: split_images(image_list(name, 20), AS_PUBLISHED) for name in ("tom20", "zo1")}
    with pytest.raises(InputError, match=r"dna.quota.train is 54, but only 14 of the 28 train images"):
        split_dna(splits, image_list("zo1", 20), DNA, seed=42)


def test_image_in_two_splits_is_refused():
    images = image_list("tom20", 3)
    rows = {split: images.iloc[[i]] for i, split in enumerate(SPLITS)}
    with pytest.raises(InputError, match="0.czi is a train image of tom20 and a test image of dna"):
        check_disjoint({"tom20": rows, "dna": {"test": images.iloc[[0]]}})


def test_unusable_images_leave_all_others_where_they_were(tmp_path):
    names = ("tom20", "zo1")
    for name in names:
        image_list(name, 40).to_csv(tmp_path / f"{name}.csv", index=False)
    candidates = pd.concat([image_list(name, 40) for name in names])
    candidates.to_csv(tmp_path / "dna.csv", index=False)
    dna = DnaConfig(name="dna", quota={"train": 8, "val": 2, "test": 4})
    lists = {name: tmp_path / f"{name}.csv" for name in names}

    def split(left_out: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
        left_out.to_csv(tmp_path / "left_out.csv", index=False)
        outputs = {task: {part: tmp_path / f"{task}-{part}.csv" for part in SPLITS} for task in (*names, "dna")}
        for name in names:
            write_structure_splits(lists[name], [tmp_path / "left_out.csv"], outputs[name], name, AS_PUBLISHED)
        inputs = lists, tmp_path / "dna.csv", [tmp_path / "left_out.csv"]
        write_dna_splits(*inputs, outputs["dna"], config=dna, split_config=AS_PUBLISHED)
        return {task: {p: list(pd.read_csv(f).path_czi) for p, f in of.items()} for task, of in outputs.items()}

    before = split(pd.DataFrame(columns=["path_czi", "task"]))
    bad_target, bad_dna = before["tom20"]["test"][0], before["dna"]["test"][0]
    after = split(pd.DataFrame({"path_czi": [bad_target, bad_dna], "task": ["tom20", "dna"]}))
    assert after["tom20"]["test"] == before["tom20"]["test"][1:]
    assert after["zo1"] == before["zo1"]
    assert after["dna"]["train"] == before["dna"]["train"]
    assert after["dna"]["test"][:3] == before["dna"]["test"][1:]
    assert len(after["dna"]["test"]) == 4
