"""Normalising and resizing against the published form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ssp_model.data.preprocess import normalise, resize, resize_factors
from ssp_model.errors import InputError

SCALE = (1, 0.37241, 0.37241)
SIZE = (0.29, 0.29, 0.29)


def test_published_resize(golden):
    vectors = golden("resize.npz")
    standardised, _ = normalise(vectors["raw"])
    resized = resize(standardised, SCALE)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, vectors["normalised_resized"], atol=1e-5, rtol=0)


def test_large_counts_keep_their_digits():
    raw = (20_000 + np.random.default_rng(0).normal(0, 50, (3, 40, 40))).astype(np.uint16)
    standardised, statistics = normalise(raw)
    wanted = (raw.astype(np.float64) - raw.mean()) / raw.std()
    np.testing.assert_allclose(standardised, wanted, atol=1e-6)
    assert statistics.mean == pytest.approx(raw.mean(), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(4, 40)] * 3),
    factors=st.tuples(*[st.floats(0.3, 2)] * 3),
    seed=st.integers(0, 99),
)
def test_resize_equals_zoom(shape, factors, seed):
    image = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    wanted = ndimage.zoom(image.astype(np.float64), factors, mode="nearest")
    np.testing.assert_allclose(resize(image, factors), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.full((2, 3, 4), 7, np.uint16), "is constant .every voxel is 7"),
        (np.array([[[1.0, np.nan]]]), "not finite"),
    ],
)
def test_unusable_images(raw, message):
    with pytest.raises(InputError, match=message):
        normalise(raw)


def test_factors_follow_from_pixel_sizes():
    assert resize_factors((0.29, 0.145, 0.58), voxel_size_um=SIZE) == pytest.approx((1, 0.5, 2))
    assert resize_factors((None, None, None), scale=SCALE) == SCALE
    with pytest.raises(InputError, match="no pixel size along Z"):
        resize_factors((None, 0.1, 0.1), voxel_size_um=SIZE)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float16])
def test_standardising_is_in_float64_whatever_the_file_holds(dtype):
    raw = np.random.default_rng(0).normal(20_000, 100, (3, 40, 50)).astype(dtype)
    exact = raw.astype(np.float64)
    standardised, removed = normalise(raw)
    assert removed.std == pytest.approx(exact.std(), rel=1e-12)
    np.testing.assert_allclose(standardised, (exact - exact.mean()) / exact.std(), atol=1e-6)
