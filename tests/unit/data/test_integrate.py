"""Datasets and the crops read from them."""

import resource

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
from torch.utils.data import DataLoader

from ssp_model.data.crops import EpochSampler, RandomCrops
from ssp_model.data.dataset import Dataset
from ssp_model.data.integrate import integrate
from ssp_model.data.splits import SPLITS
from ssp_model.errors import InputError

CONFIG = {"preprocess": {"scale": [1, 1, 1]}}


@pytest.fixture
def parts(tmp_path):
    """Volumes of one structure of four images, three of them with DNA, and the lists of both tasks' splits."""
    rng = np.random.default_rng(0)
    volumes = tmp_path / "tom20.h5"
    with h5py.File(volumes, "w") as file:
        for row in range(4):
            group = file.create_group(f"{row:04d}")
            group.attrs.update(path_czi=f"data/tom20/{row}.czi", source_bytes=9, source_sha256=f"{row}")
            group.attrs["voxel_size_um"] = [0.3, 0.2, 0.2]
            for role in ("signal", "tom20", "dna")[: 3 if row < 3 else 2]:
                dataset = group.create_dataset(role, data=rng.normal(size=(20, 30, 40)).astype(np.float32))
                dataset.attrs.update(channel=1, channel_name=role, mean=5.0, std=2.0)
    splits = {}
    for task, numbers in {"tom20": ([0, 3], [1], [2]), "dna": ([0], [1], [2])}.items():
        splits[task] = {}
        for split, images in zip(SPLITS, numbers, strict=True):
            splits[task][split] = tmp_path / f"{task}-{split}.csv"
            paths = [f"data/tom20/{image}.czi" for image in images]
            pd.DataFrame({"path_czi": paths}).to_csv(splits[task][split], index=False)
    datasets = {split: tmp_path / f"{split}.h5" for split in SPLITS}
    return splits, {"tom20": volumes}, datasets


def test_datasets_hold_all_tasks_and_each_signal_once(parts):
    splits, volumes, datasets = parts
    integrate(splits, volumes, datasets, CONFIG)
    with Dataset(datasets["train"]) as train, h5py.File(volumes["tom20"]) as source:
        assert train.tasks == ["dna", "tom20"]
        assert list(zip(train.index.task, train.index.path_czi, strict=True)) == [
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
                file[row].attrs.update(path_czi=f"data/{name}/{row}.czi", source_sha256=f"{name} {row}")
        lists[name] = {split: tmp_path / f"{name}-{split}.csv" for split in SPLITS}
        for row, path in enumerate(lists[name].values()):
            pd.DataFrame({"path_czi": [f"data/{name}/{row:04d}.czi"]}).to_csv(path, index=False)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 20, before[1]))
    try:
        integrate(lists, many, datasets, CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with Dataset(datasets["val"]) as val, h5py.File(many["structure_39"]) as source:
        assert len(val) == 40
        np.testing.assert_array_equal(val.target(39), source["0001/structure_39"])


def test_image_in_two_splits_leaves_no_dataset(parts):
    splits, volumes, datasets = parts
    pd.DataFrame({"path_czi": ["data/tom20/3.czi"]}).to_csv(splits["dna"]["test"], index=False)
    with pytest.raises(InputError, match="3.czi is a train image of tom20 and a test image of dna"):
        integrate(splits, volumes, datasets, CONFIG)
    assert not any(path.exists() for path in datasets.values())


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


@pytest.fixture
def train_set(parts):
    splits, volumes, datasets = parts
    integrate(splits, volumes, datasets, CONFIG)
    return datasets["train"]


def read_epoch(path, workers: int):
    sampler = EpochSampler(3, seed=5, batch_size=2)
    sampler.epoch = 2
    crops = RandomCrops(path, (16, 16, 32), seed=5)
    context = "spawn" if workers else None
    return list(DataLoader(crops, batch_sampler=sampler, num_workers=workers, multiprocessing_context=context))


def test_crops_do_not_depend_on_the_workers(train_set):
    for one, two in zip(read_epoch(train_set, 0), read_epoch(train_set, 2), strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


def test_crops_are_pieces_of_the_images_flipped_alike(train_set):
    crops = RandomCrops(train_set, (16, 16, 32), seed=0)
    flips_seen = set()
    with Dataset(train_set) as dataset:
        for epoch in range(40):
            signal, target, task, sample = crops[epoch, 2]
            assert signal.shape == target.shape == (1, 16, 16, 32)
            assert (task, sample) == (1, 2)
            found = find(signal[0].numpy(), dataset.signal(2)[()])
            assert found == find(target[0].numpy(), dataset.target(2)[()])
            flips_seen.add(found[1])
    assert len(flips_seen) == 8


def find(crop: np.ndarray, image: np.ndarray) -> tuple:
    """Place and flips of a crop in its image."""
    for flips in [tuple(axis for axis in range(3) if mask >> axis & 1) for mask in range(8)]:
        back = np.flip(crop, flips)
        for start in np.argwhere(image == back[0, 0, 0]):
            inside = image[tuple(slice(s, s + n) for s, n in zip(start, crop.shape, strict=True))]
            if inside.shape == crop.shape and (inside == back).all():
                return tuple(start), flips
    raise AssertionError("the crop is no piece of the image")


def test_crops_do_not_depend_on_how_images_are_stored(train_set, tmp_path):
    """In one piece, in compressed chunks as after h5repack, or in memory."""
    with h5py.File(train_set) as file, h5py.File(tmp_path / "chunked.h5", "w") as chunked:
        for group in ("signals", "targets"):
            for name, image in file[group].items():
                chunked.create_dataset(f"{group}/{name}", data=image[()], chunks=(4, 8, 8), compression="gzip")
        file.copy("index", chunked)
        chunked.attrs.update(file.attrs)
    ways = [
        RandomCrops(train_set, (16, 16, 32), seed=3),
        RandomCrops(train_set, (16, 16, 32), seed=3, in_memory=True),
        RandomCrops(tmp_path / "chunked.h5", (16, 16, 32), seed=3),
    ]
    for key in [(epoch, sample) for epoch in range(8) for sample in range(3)]:
        wanted, *others = (way[key] for way in ways)
        for other in others:
            for a, b in zip(wanted, other, strict=True):
                np.testing.assert_array_equal(a, b)


def test_small_images_are_mirrored(train_set):
    signal, *_ = RandomCrops(train_set, (32, 48, 48), seed=0)[0, 0]
    assert signal.shape == (1, 32, 48, 48)
    assert signal.isfinite().all()


def test_sampler_gives_each_sample_once_an_epoch_and_goes_on_anywhere():
    sampler = EpochSampler(7, seed=1, batch_size=3)
    orders = []
    for sampler.epoch in (1, 2):
        batches = list(sampler)
        assert [len(batch) for batch in batches] == [3, 3, 1]
        orders.append([sample for batch in batches for epoch, sample in batch if epoch == sampler.epoch])
        assert sorted(orders[-1]) == list(range(7))
        sampler.first_batch = 1
        assert list(sampler) == batches[1:]
        sampler.first_batch = 0
    assert orders[0] != orders[1]


def test_damaged_dataset(tmp_path):
    (tmp_path / "train.h5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="can't be read as a dataset"):
        Dataset(tmp_path / "train.h5")
