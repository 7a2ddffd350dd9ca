"""Standardising and resizing against the published form."""

import re

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ssp_model.data import preprocess
from ssp_model.data.preprocess import Resizing, to_model_voxels
from ssp_model.errors import InputError
from tests.helpers import image_of

SCALE = (1, 0.37241, 0.37241)
SIZE = (0.29, 0.29, 0.29)


def test_published_resize(golden):
    vectors = golden("resize.npz")
    resized, _ = to_model_voxels(image_of(vectors["raw"]), 0, SCALE)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, vectors["normalised_resized"], atol=1e-5, rtol=0)


def test_tiles_that_lie_elsewhere_in_each_plane_are_refused():
    raw = np.random.default_rng(0).integers(0, 99, (3, 20, 30)).astype(np.uint16)
    with pytest.raises(InputError, match="has no pixel that was recorded in all its planes; leave the image out"):
        to_model_voxels(image_of(raw, recorded=np.zeros((20, 30), bool)), 0, (1, 1, 1))


def test_large_counts_keep_their_digits():
    raw = (20_000 + np.random.default_rng(0).normal(0, 50, (3, 40, 40))).astype(np.uint16)
    standardised, removed = to_model_voxels(image_of(raw), 0, (1, 1, 1))
    wanted = (raw.astype(np.float64) - raw.mean()) / raw.std()
    np.testing.assert_allclose(standardised, wanted, atol=1e-6)
    assert removed.mean == pytest.approx(raw.mean(), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(4, 40)] * 3),
    factors=st.tuples(*[st.floats(0.3, 2)] * 3),
    seed=st.integers(0, 99),
)
def test_resizing_is_zooming(shape, factors, seed):
    raw = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    exact = raw.astype(np.float64)
    wanted = ndimage.zoom((exact - exact.mean()) / exact.std(), factors, mode="nearest")
    np.testing.assert_allclose(to_model_voxels(image_of(raw), 0, factors)[0], wanted, atol=2e-5)


@pytest.mark.parametrize("factors", [(1, 0.5, 0.5), (1.7, 0.5, 1), (0.4, 1, 1)])
def test_into_a_file_as_into_memory(tmp_path, factors, monkeypatch):
    image = image_of(np.random.default_rng(0).integers(0, 999, (9, 30, 40)).astype(np.uint16))
    wanted, removed = to_model_voxels(image, 0, factors)
    with h5py.File(tmp_path / "volumes.h5", "w") as file:

        def place(name, shape, dtype):
            return file.create_dataset(name, shape, dtype)

        volume, also_removed = to_model_voxels(image, 0, factors, place)
        np.testing.assert_array_equal(volume, wanted)
        assert also_removed == removed
        # a large volume is resized along Z in strips
        monkeypatch.setattr(preprocess, "STRIP", 9 * 40 * 4)
        for name in list(file):
            del file[name]
        np.testing.assert_allclose(to_model_voxels(image, 0, factors, place)[0], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.full((2, 3, 4), 7, np.uint16), r"^a.czi channel 0 is constant .every voxel is 7., so .*\.$"),
        (
            np.array([[[1.0, np.nan]]]),
            r"^a.czi channel 0 holds 1 voxels \(50.0%\) that are not finite",
        ),
    ],
)
def test_unusable_images(raw, message):
    with pytest.raises(InputError, match=message):
        to_model_voxels(image_of(raw), 0, (1, 1, 1))


def test_factors_follow_from_pixel_sizes():
    raw = np.zeros((4, 8, 2))
    assert Resizing(voxel_size_um=SIZE).factors(image_of(raw, (0.29, 0.145, 0.58))) == pytest.approx((1, 0.5, 2))
    assert Resizing(scale=SCALE).factors(image_of(raw)) == SCALE
    with pytest.raises(InputError, match=r"^a.czi has no usable pixel size along Z, which is .*; give its voxel"):
        Resizing(voxel_size_um=SIZE).factors(image_of(raw, (None, 0.1, 0.1)))


def test_an_image_that_would_vanish_or_fill_the_disk_is_refused():
    raw = np.zeros((1, 8, 8))
    with pytest.raises(InputError, match=r"^a.czi is too small: 1 x 8 x 8 voxels would become 0 x 8 x 8 at"):
        Resizing(scale=(0.4, 1, 1)).factors(image_of(raw))
    with pytest.raises(InputError, match=r"^a.czi is too large: 1 x 8 x 8 voxels would become 1 x 800,000 x 800,000"):
        Resizing(scale=(1, 1e5, 1e5)).factors(image_of(raw))


def test_gaps_between_tiles_do_not_count():
    raw = np.random.default_rng(0).normal(100, 5, (3, 20, 30))
    recorded = np.ones((20, 30), bool)
    recorded[:, 12:18] = False
    with_gap = np.where(recorded, raw, 0)
    standardised, removed = to_model_voxels(image_of(with_gap, recorded=recorded), 0, (1, 1, 1))
    assert removed.mean == pytest.approx(raw[:, recorded].mean())
    assert removed.std == pytest.approx(raw[:, recorded].std())
    assert not standardised[:, ~recorded].any()
    np.testing.assert_allclose(standardised[:, recorded], (raw[:, recorded] - removed.mean) / removed.std, atol=1e-5)


@pytest.mark.parametrize(
    "place",
    [np.s_[3, 4, 5], np.s_[:, 4, 5], np.s_[:, ::16, ::16]],
    ids=["cosmic ray", "hot pixel of the camera", "many hot pixels"],
)
def test_hot_pixels_are_told_of(caplog, place):
    raw = np.random.default_rng(0).normal(100, 5, (40, 40, 40))
    to_model_voxels(image_of(raw), 0, (1, 1, 1))
    assert not caplog.messages
    raw[place] = 60_000
    to_model_voxels(image_of(raw), 0, (1, 1, 1))
    (message,) = caplog.messages
    assert re.fullmatch(
        r"a.czi channel 0 has hot pixels, of up to 60000, that make up (99|100)% of its variance, so all "
        r"others are scaled down; take them out of the image",
        message,
    )


def test_a_small_bright_spot_and_noise_are_no_hot_pixels(caplog):
    raw = np.zeros((10, 40, 40))
    raw[4:6, 20:22, 20:22] = 255
    to_model_voxels(image_of(raw), 0, (1, 1, 1))
    to_model_voxels(image_of(np.random.default_rng(0).exponential(size=(1, 300, 300))), 0, (1, 1, 1))
    assert not caplog.messages


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float16])
def test_standardising_is_in_float64_whatever_the_file_holds(dtype):
    raw = np.random.default_rng(0).normal(20_000, 100, (3, 40, 50)).astype(dtype)
    exact = raw.astype(np.float64)
    standardised, removed = to_model_voxels(image_of(raw), 0, (1, 1, 1))
    assert removed.std == pytest.approx(exact.std(), rel=1e-12)
    np.testing.assert_allclose(standardised, (exact - exact.mean()) / exact.std(), atol=1e-6)
