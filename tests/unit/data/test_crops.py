"""Crops: pieces of the images, the same however they are read."""

import h5py
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ssp_model.data.crops import EpochSampler, RandomCrops, pad_to
from ssp_model.data.dataset import Dataset


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


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), size=st.tuples(*[st.integers(1, 20)] * 3))
def test_padding_keeps_the_image(shape, size):
    image = np.random.default_rng(0).normal(size=shape)
    padded, inner = pad_to(image, size)
    np.testing.assert_array_equal(padded[inner], image)
    assert padded.shape == tuple(np.maximum(shape, size))
