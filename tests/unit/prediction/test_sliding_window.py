"""Whole-image prediction and scores against the published ones."""

import h5py
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssp_model.data.crops import pad_to
from ssp_model.evaluation.metrics import score
from ssp_model.images import ome_tiff
from ssp_model.images.ome_tiff import write_ome_tiff
from ssp_model.models.authors import state_dict_from_published
from ssp_model.nn.methods.repmode import RepMode
from ssp_model.prediction.sliding_window import Windows, predict_volume, predict_windows, window_weights


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
    assert sum(done) >= image.size


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
    assert torch.allclose(predict_windows(Slope(), x, None, "x"), x + 2.5)
    assert torch.allclose(predict_windows(Slope(), x, None, "zy"), x + torch.arange(6))


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), size=st.tuples(*[st.integers(1, 20)] * 3))
def test_padding_keeps_the_image(shape, size):
    image = np.random.default_rng(0).normal(size=shape)
    padded, inner = pad_to(image, size)
    np.testing.assert_array_equal(padded[inner], image)
    assert padded.shape == tuple(np.maximum(shape, size))


def test_published_scores(golden):
    vectors = golden("metrics.npz")
    scores = score(vectors["prediction"], vectors["target"])
    published = {name.lower(): float(vectors[name]) for name in ("MSE", "MAE", "R2")}
    assert {name: scores[name] for name in published} == pytest.approx(published, rel=1e-6)


def test_other_scores():
    target = np.random.default_rng(0).normal(size=(12, 20, 20)).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=target.shape).astype(np.float32)
    scores = score(2 * target + 3, target)
    assert scores["pearson"] == pytest.approx(1)
    assert score(target, target)["ssim"] == pytest.approx(1)
    worse, worst = (score(target + share * noise, target) for share in (0.3, 1.0))
    assert 1 > worse["ssim"] > worst["ssim"] > 0
    peak = float(target.max() - target.min())
    assert worse["psnr"] == pytest.approx(10 * np.log10(peak**2 / worse["mse"]), rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 20, 20), (5, 7, 30)])
def test_structural_similarity_of_thin_images(shape):
    target = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert score(target, target)["ssim"] == pytest.approx(1)


def test_large_predictions_take_the_large_kind_of_tiff(tmp_path, monkeypatch):
    image = np.zeros((2, 8, 8), np.float32)
    for limit, is_big in ((2**32, False), (1000, True)):
        monkeypatch.setattr(ome_tiff, "CLASSIC_TIFF", limit)
        write_ome_tiff(tmp_path / "a.ome.tif", [image, image], ["a", "b"], None)
        with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
            assert tiff.is_bigtiff == is_big
            assert tiff.series[0].shape == (2, 2, 8, 8)
