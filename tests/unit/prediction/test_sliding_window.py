"""Prediction of whole images: as published, and from any image."""

import h5py
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import dense_patch_slices

from ssp_model.models.authors import state_dict_from_published
from ssp_model.nn.methods.repmode import RepMode
from ssp_model.prediction.sliding_window import Blend, Windows, predict_volume, predict_windows, ways_of, window_weights


def test_published_window_weights(golden):
    np.testing.assert_allclose(window_weights((16, 32, 32)), golden("sliding_window.npz")["gauss_16_32_32"], rtol=1e-6)
    every_fourth = window_weights((32, 128, 128))[:, ::4, ::4]
    np.testing.assert_allclose(every_fourth, golden("gaussian_32_128_128.npz")["weight"], rtol=1e-6)


def test_published_prediction(golden):
    vectors = golden("sliding_window.npz")
    model = RepMode(num_tasks=3, width=2).eval()
    prefix = "param/"
    published = {n.removeprefix(prefix): torch.from_numpy(v) for n, v in vectors.items() if n.startswith(prefix)}
    model.load_state_dict(state_dict_from_published(published))

    windows = Windows(tuple(vectors["patch"].tolist()))
    predicted = predict_volume(model.specialise(int(vectors["task"])), vectors["volume"][0, 0], windows)
    wanted = vectors["prediction"][0, 0].astype(np.float64)
    assert np.linalg.norm(predicted - wanted) <= 1e-6 * np.linalg.norm(wanted)


class Identity(torch.nn.Module):
    """A network that returns its input: its whole-image prediction must be the image."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.weight


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 50)] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
    flips=st.sampled_from(["", "x", "zy"]),
)
def test_windows_cover_any_image(shape, overlap, flips):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    done = []
    predicted = predict_volume(Identity(), image, Windows((16, 32, 32), overlap, flips), advance=done.append)
    np.testing.assert_allclose(predicted, image, atol=1e-5)
    assert sum(done) == image.size


def test_progress_is_told_after_each_batch_of_windows():
    image = np.zeros((16, 64, 96), np.float32)
    done = []
    predict_volume(Identity(), image, Windows((16, 32, 32)), advance=done.append, memory=0)
    # one window at a time
    assert len(done) == 3 * 5
    assert sum(done) == image.size
    assert max(done) - min(done) <= 1


@given(size=st.integers(1, 400), window=st.integers(1, 64), overlap=st.floats(0, 0.99))
def test_windows_start_where_monai_starts_them(size, window, overlap):
    size = max(size, window)
    step = max(int(window * (1 - overlap)), 1)
    wanted = [piece.start for (piece,) in dense_patch_slices((size,), (window,), (step,))]
    assert Windows((window, 16, 16), overlap).starts((size, 16, 16)) == [wanted, [0], [0]]


def test_blended_windows_are_their_weighted_mean():
    weights = np.array([[[1, 2]], [[3, 4]]], np.float32)
    blend = Blend(weights, rows=1, columns=3)
    one, other = np.full((2, 1, 2), 10, np.float32), np.full((2, 1, 2), 70, np.float32)
    blend.add(0, 0, one)
    blend.add(0, 1, other)
    np.testing.assert_allclose(blend.take(1), [[[10, (2 * 10 + 1 * 70) / 3, 70]]])
    # the second plane is the first of the next strip, whose windows reach one plane further
    blend.add(0, 0, one)
    blend.add(0, 1, one)
    last = blend.take(2)
    np.testing.assert_allclose(last[0, 0, 0], 10)
    np.testing.assert_allclose(last[0, 0, 2], (4 * 70 + 2 * 10) / 6)
    np.testing.assert_allclose(last[1], 10)


def test_strips_from_file_to_file(tmp_path):
    """Along whichever axis the strips lie, and the same as from memory."""
    torch.manual_seed(0)
    network = RepMode(num_tasks=1, width=1).eval().specialise(0)
    for shape in ((70, 20, 18), (18, 70, 20), (18, 20, 70)):
        image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        with h5py.File(tmp_path / "volumes.h5", "w") as file:
            file["signal"] = image
            out = file.create_dataset("prediction", shape, np.float32)
            predict_volume(network, file["signal"], Windows((16, 16, 16)), out=out)
            np.testing.assert_array_equal(out[()], predict_volume(network, image, Windows((16, 16, 16))))


class Slope(Identity):
    """A network that adds to each voxel its place along X."""

    def forward(self, x):
        return x * self.weight + torch.arange(x.shape[-1])


def test_flipped_predictions_are_turned_back_and_averaged():
    x = torch.randn(2, 1, 4, 4, 6)
    assert torch.allclose(predict_windows(Slope(), x, None, ways_of("x")), x + 2.5)
    assert torch.allclose(predict_windows(Slope(), x, None, ways_of("zy")), x + torch.arange(6))
