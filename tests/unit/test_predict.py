"""Whole-image prediction and scores against the published ones."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssp_model.legacy import state_dict_from_published
from ssp_model.metrics import score
from ssp_model.nn import RepMode
from ssp_model.patches import pad_to
from ssp_model.predict import predict_volume, window_weights


def test_published_window_weights(golden):
    np.testing.assert_allclose(
        window_weights((16, 32, 32)).numpy(), golden("sliding_window.npz")["gauss_16_32_32"], rtol=1e-6
    )
    every_fourth = window_weights((32, 128, 128)).numpy()[:, ::4, ::4]
    np.testing.assert_allclose(every_fourth, golden("gaussian_32_128_128.npz")["weight"], rtol=1e-6)


def test_published_prediction(golden):
    vectors = golden("sliding_window.npz")
    model = RepMode(tasks=3, width=2).eval()
    prefix = "param/"
    published = {n.removeprefix(prefix): torch.from_numpy(v) for n, v in vectors.items() if n.startswith(prefix)}
    model.load_state_dict(state_dict_from_published(published))

    predicted = predict_volume(model.specialise(int(vectors["task"])), vectors["volume"][0, 0], vectors["patch"])
    wanted = vectors["prediction"][0, 0].astype(np.float64)
    assert np.linalg.norm(predicted - wanted) <= 1e-6 * np.linalg.norm(wanted)


class Identity(torch.nn.Module):
    """A network that returns its input: its whole-image prediction must be the image."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.weight


@settings(max_examples=25, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 50)] * 3), overlap=st.sampled_from([0.0, 0.25, 0.5]))
def test_windows_cover_any_image(shape, overlap):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    predicted = predict_volume(Identity(), image, (16, 32, 32), overlap)
    np.testing.assert_allclose(predicted, image, atol=1e-5)


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), size=st.tuples(*[st.integers(1, 20)] * 3))
def test_padding_keeps_the_image(shape, size):
    image = np.random.default_rng(0).normal(size=shape)
    padded, inner = pad_to(image, size)
    np.testing.assert_array_equal(padded[inner], image)
    assert padded.shape == tuple(np.maximum(shape, size))


def test_published_scores(golden):
    vectors = golden("metrics.npz")
    scores = score(vectors["prediction"], vectors["target"])
    assert scores == pytest.approx({name.lower(): float(vectors[name]) for name in ("MSE", "MAE", "R2")}, rel=1e-6)
