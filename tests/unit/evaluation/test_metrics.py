"""Metrics against the published scores and against torchmetrics."""

import warnings

import numpy as np
import pytest
import torch
from torchmetrics import functional
from torchmetrics.functional import image as image_functional

from ssp_model.evaluation.metrics import METRIC, METRICS, label, score

PEARSON_OF_CONSTANT = "The variance of predictions or target is close to zero"


def by_torchmetrics(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    p, t = (torch.from_numpy(image.astype(np.float64)) for image in (prediction, target))
    flat = p.flatten(), t.flatten()
    peak = float(t.max() - t.min())
    # a window too large for an axis is made a point along it
    sigma = [1.5 if size >= 11 else 0.01 for size in t.shape]
    ssim = image_functional.structural_similarity_index_measure(
        p[None, None].float(), t[None, None].float(), sigma=sigma, data_range=peak
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", PEARSON_OF_CONSTANT)
        return {
            "mse": functional.mean_squared_error(*flat).item(),
            "mae": functional.mean_absolute_error(*flat).item(),
            "r2": functional.r2_score(*flat).item(),
            "pearson": functional.pearson_corrcoef(*flat).item(),
            "ssim": ssim.item(),
            "psnr": image_functional.peak_signal_noise_ratio(*flat, data_range=peak).item(),
        }


def noise(shape, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# along X, torchmetrics mirrors an image of fewer than 11 voxels although no window needs it, and counts voxels twice
SHAPES = [(12, 20, 20), (1, 20, 20), (5, 7, 30), (11, 11, 11), (17, 40, 23)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("predict", [
    lambda target: 0.7 * target + 0.3 * noise(target.shape, 1),
    lambda target: noise(target.shape, 2),
    lambda target: 1e-3 * noise(target.shape, 3) - 2,
    lambda target: -target,
    lambda target: target,
    np.zeros_like,
    lambda target: np.full_like(target, 0.1),
], ids=["good", "noise", "flat", "inverse", "perfect", "zero", "constant"])  # fmt: skip
def test_scores_are_those_of_torchmetrics(shape, predict):
    target = noise(shape, 0)
    prediction = predict(target)
    ours, wanted = score(prediction, target), by_torchmetrics(prediction, target)
    assert list(ours) == list(wanted) == list(METRICS)
    assert ours.pop("ssim") == pytest.approx(wanted.pop("ssim"), abs=1e-5)
    np.testing.assert_array_equal(list(ours.values()), list(wanted.values()))


@pytest.mark.parametrize("target", [2.0, 0.0])
def test_a_constant_target(target):
    prediction, target = noise((12, 12, 12), 0), np.full((12, 12, 12), target, np.float32)
    ours, wanted = score(prediction, target), by_torchmetrics(prediction, target)
    for metric in ("mse", "mae", "r2", "pearson"):
        np.testing.assert_equal(ours[metric], wanted[metric])


def test_published_scores(golden):
    vectors = golden("metrics.npz")
    scores = score(vectors["prediction"], vectors["target"])
    published = {name.lower(): float(vectors[name]) for name in ("MSE", "MAE", "R2")}
    assert {name: scores[name] for name in published} == pytest.approx(published, rel=1e-6)


def test_scores_of_better_and_worse_predictions():
    target = noise((12, 20, 20), 0)
    assert score(2 * target + 3, target)["pearson"] == pytest.approx(1)
    better, worse = (score(target + share * noise(target.shape, 1), target) for share in (0.3, 1.0))
    for name, metric in METRIC.items():
        assert (better[name] > worse[name]) == metric.higher_is_better
    peak = float(target.max() - target.min())
    assert worse["psnr"] == pytest.approx(10 * np.log10(peak**2 / worse["mse"]), rel=1e-5)


def test_correlation_with_a_constant_is_not_defined():
    assert np.isnan(score(np.zeros((12, 12, 12), np.float32), noise((12, 12, 12), 0))["pearson"])


def test_titles():
    assert label("psnr") == "PSNR in dB"
    assert METRIC["r2"].title_with_direction == "R² (higher is better)"
    assert METRIC["mse"].title_with_direction == "MSE (lower is better)"
