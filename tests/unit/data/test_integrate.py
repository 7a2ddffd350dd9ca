"""Datasets gathered from volumes, and what is refused."""

import resource

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest

from ssp_model.data.dataset import Dataset
from ssp_model.data.integrate import integrate
from ssp_model.data.splits import SPLITS
from ssp_model.errors import InputError

CONFIG = {"preprocess": {"scale": [1, 1, 1]}}


def test_datasets_hold_all_tasks_and_each_signal_once(parts):
    splits, volumes, datasets = parts
    integrate(splits, volumes, datasets, CONFIG)
    with Dataset(datasets["train"]) as train, h5py.File(volumes["tom20"]) as source:
        assert train.tasks == ["dna", "tom20"]
        assert list(zip(train.index.task, train.index.image, strict=True)) == [
            ("dna", "data/tom20/0.czi"),
            ("tom20", "data/tom20/0.czi"),
            ("tom20", "data/tom20/3.czi"),
        ]
        assert list(train.index.signal) == [0, 0, 1]
        assert list(train.index.task_number) == [0, 1, 1]
        np.testing.assert_array_equal(train.signal(2), source["0003/signal"])
        np.testing.assert_array_equal(train.target(0), source["0000/dna"])
        assert train.voxel_size_um == pytest.approx((0.3, 0.2, 0.2))
        assert train.config == CONFIG
        assert train.index.target_channel_name[0] == "dna"


def test_groups_are_kept_and_shared_ones_are_named(parts, caplog):
    splits, volumes, datasets = parts
    integrate(splits, volumes, datasets, CONFIG)
    with Dataset(datasets["train"]) as train:
        assert "group" not in train.index
    assert "share the groups" not in caplog.text
    for task, of in splits.items():
        for split, path in of.items():
            table = pd.read_csv(path)
            table["group"] = f"plate {split}" if task == "dna" else "plate 1"
            table.to_csv(path, index=False)
    integrate(splits, volumes, datasets, CONFIG)
    with Dataset(datasets["train"]) as train:
        assert train.index.group.tolist() == ["plate train", "plate 1", "plate 1"]
    assert "training and test share the groups plate 1: the scores then say" in caplog.text


@pytest.mark.parametrize(("scale", "expected"), [([2, 1, 1], 2), (None, 1.5)])
def test_datasets_know_how_planes_were_interpolated(parts, scale, expected):
    splits, volumes, datasets = parts
    integrate(splits, volumes, datasets, {"preprocess": {"scale": scale}})
    with Dataset(datasets["train"]) as train:
        assert train.scale_z(2) == pytest.approx(expected)
    # as in datasets of earlier versions
    with h5py.File(datasets["train"], "a") as file:
        del file["targets/00002"].attrs["pixel_size_um"]
    with Dataset(datasets["train"]) as train:
        assert train.scale_z(2) == pytest.approx(2 if scale else np.nan, nan_ok=True)


def test_datasets_are_plain_hdf5(parts):
    splits, volumes, datasets = parts
    integrate(splits, volumes, datasets, CONFIG)
    with h5py.File(datasets["test"]) as file:
        assert file.attrs["axes"] == "ZYX"
        assert len(file["signals"]) == 1
        assert len(file["targets"]) == 2
        assert file["index/task"].asstr()[:].tolist() == ["dna", "tom20"]
        assert file["signals/00000"].chunks is None


def test_more_structures_than_files_that_may_be_open(parts, tmp_path):
    _, volumes, datasets = parts
    lists, many = {}, {}
    for number in range(40):
        name = f"structure_{number:02d}"
        many[name] = tmp_path / f"{name}.h5"
        with h5py.File(volumes["tom20"]) as source, h5py.File(many[name], "w") as file:
            for row in source:
                source.copy(row, file)
                file[row].move("tom20", name)
                file[row].attrs.update(image=f"data/{name}/{row}.czi", source_sha256=f"{name} {row}")
        lists[name] = {split: tmp_path / f"{name}-{split}.csv" for split in SPLITS}
        for row, path in enumerate(lists[name].values()):
            pd.DataFrame({"image": [f"data/{name}/{row:04d}.czi"], "signal": 0, "target": 1}).to_csv(path, index=False)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 20, before[1]))
    try:
        integrate(lists, many, datasets, CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with Dataset(datasets["val"]) as val, h5py.File(many["structure_39"]) as source:
        assert len(val) == 40
        np.testing.assert_array_equal(val.target(39), source["0001/structure_39"])


def test_an_image_that_is_for_a_test_is_not_for_training(parts, caplog):
    splits, volumes, datasets = parts

    def test_on(task, *images):
        table = pd.DataFrame({"image": [f"data/tom20/{image}.czi" for image in images], "signal": 0, "target": 1})
        table.to_csv(splits[task]["test"], index=False)

    test_on("tom20", 3)
    integrate(splits, volumes, datasets, CONFIG)
    with Dataset(datasets["train"]) as train:
        assert train.index.image.tolist() == ["data/tom20/0.czi"] * 2
    assert "tom20: 1 image left out of train, held out for other structures: data/tom20/3.czi" in caplog.text
    datasets["train"].unlink()
    test_on("tom20", 0, 3)
    with pytest.raises(InputError, match="All train images of tom20 are held out for other structures"):
        integrate(splits, volumes, datasets, CONFIG)
    assert not datasets["train"].exists()


def test_an_image_in_the_volumes_of_two_structures(parts, tmp_path):
    """Each has its own target in its own file."""
    splits, volumes, datasets = parts
    volumes["zo1"] = tmp_path / "zo1.h5"
    with h5py.File(volumes["tom20"]) as source, h5py.File(volumes["zo1"], "w") as file:
        for row in source:
            source.copy(row, file)
            file[row].move("tom20", "zo1")
            file[row]["zo1"][()] = -source[row]["tom20"][()]
    splits["zo1"] = splits["tom20"]
    integrate(splits, volumes, datasets, CONFIG)
    with Dataset(datasets["val"]) as val:
        first, second = (val.index.task.tolist().index(task) for task in ("tom20", "zo1"))
        np.testing.assert_array_equal(val.target(second), -val.target(first)[()])


def test_missing_volume(parts):
    splits, volumes, datasets = parts
    with h5py.File(volumes["tom20"], "a") as file:
        del file["0000/dna"]
    with pytest.raises(InputError, match="data/tom20/0.czi has no dna volume"):
        integrate(splits, volumes, datasets, CONFIG)


def test_mixed_voxel_sizes_are_named(parts, caplog):
    splits, volumes, datasets = parts
    with h5py.File(volumes["tom20"], "a") as file:
        file["0002"].attrs["voxel_size_um"] = [0.3, 0.2, 0.4]
    integrate(splits, volumes, datasets, CONFIG)
    assert "0.300 x 0.200 x 0.400 um in data/tom20/2.czi" in caplog.text


def test_same_file_in_two_splits_is_refused(parts):
    splits, volumes, datasets = parts
    with h5py.File(volumes["tom20"], "a") as file:
        file["0002"].attrs["source_sha256"] = "0"
    with pytest.raises(InputError, match=r"0.czi \(train\) and data/tom20/2.czi \(test\) are the same file"):
        integrate(splits, volumes, datasets, CONFIG)
    assert not any(path.exists() for path in datasets.values())
