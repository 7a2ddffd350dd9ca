"""The highest scores that a noisy target allows, against targets whose noise is known."""

import numpy as np
import pytest
from scipy import ndimage

from ssp_model.data.preprocess import resize_matrix, resize_z
from ssp_model.evaluation.noise import highest_r2, likeness_in_planes, measure_noise, share
from ssp_model.evaluation.panel import Pair
from ssp_model.images.reader import in_memory

SHAPE = (30, 64, 72)


def structure(shape=SHAPE, blur_planes=1.0):
    """Draw points as a microscope shows them, with a blur of so many planes along Z."""
    rng = np.random.default_rng(0)
    drawn = ndimage.gaussian_filter((rng.random(shape) < 1 / 64).astype(float), (blur_planes, 0.7, 0.7))
    return ((drawn - drawn.mean()) / drawn.std()).astype(np.float32)


def noise(shape=SHAPE, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def measured(prediction, target):
    return measure_noise(Pair(prediction, target, None, "dna"), None).numbers


@pytest.mark.parametrize("variance", [0.0, 0.1, 1.0, 10.0])
def test_known_noise(variance):
    target = structure() + variance**0.5 * noise()
    assert highest_r2(target) == pytest.approx(1 / (1 + variance), abs=0.03)


def test_noise_that_grows_with_the_signal():
    """Photons: bright voxels are noisier, so the variance differs from place to place."""
    photons = 20 + 15 * (structure() - structure().min())
    target = np.random.default_rng(0).poisson(photons).astype(np.float32)
    assert highest_r2(target) == pytest.approx(1 - photons.mean() / target.var(), abs=0.03)


def test_noise_that_interpolation_has_smoothed_within_planes():
    """Targets are resized along Y and X; their planes are as independent as before."""
    clean, noisy = (
        ndimage.zoom(image, (1, 1.5, 1.5), mode="nearest") for image in (structure(), structure() + noise())
    )
    true = 1 - np.square(noisy - clean).mean() / noisy.var()
    assert highest_r2(noisy) == pytest.approx(true, abs=0.03)


@pytest.mark.parametrize("scale_z", [0.4, 0.8, 1.05, 1.72, 2.9])
@pytest.mark.parametrize("variance", [0.05, 1.0])
def test_planes_that_were_interpolated(scale_z, variance):
    """Noise of interpolated planes changes slowly along Z, and would look like structure."""
    clean = structure(blur_planes=max(1, 1 / scale_z))
    clean, noisy = (
        resize_z(image, resize_matrix(SHAPE[0], scale_z), in_memory)
        for image in (clean, clean + variance**0.5 * noise())
    )
    true = 1 - np.square(noisy - clean).mean() / noisy.var()
    assert highest_r2(noisy, scale_z) == pytest.approx(true, abs=0.05)


def test_an_unknown_factor_along_z():
    assert np.isnan(highest_r2(structure() + noise(), np.nan))


def test_few_raw_planes_are_no_more_for_being_interpolated():
    raw = noise((4, 32, 32))
    assert np.isnan(highest_r2(resize_z(raw, resize_matrix(4, 3.0), in_memory), 3.0))


def test_unit_and_offset_do_not_matter():
    target = structure() + noise()
    assert highest_r2(1000 + 200 * target) == pytest.approx(highest_r2(target), abs=1e-3)


def test_the_structure_itself_reaches_all_that_is_possible():
    target = structure() + noise()
    numbers = measured(structure(), target)
    assert numbers["r2_ceiling"] == pytest.approx(0.5, abs=0.02)
    assert numbers["pearson_ceiling"] == pytest.approx(0.5**0.5, abs=0.02)
    assert numbers["r2_share"] == pytest.approx(1, abs=0.04)
    assert numbers["pearson_share"] == pytest.approx(1, abs=0.02)


def test_half_of_the_structure_reaches_three_quarters():
    numbers = measured(structure() / 2, structure() + noise())
    assert numbers["r2_share"] == pytest.approx(0.75, abs=0.04)
    assert numbers["pearson_share"] == pytest.approx(1, abs=0.02)


def test_a_target_that_is_all_noise_allows_nothing():
    numbers = measured(noise(seed=2), noise())
    assert numbers["r2_ceiling"] < 0.02
    assert np.isnan(numbers["r2_share"])


@pytest.mark.parametrize("planes", [5, 6, 7])
def test_thin_targets(planes):
    shape = (planes, 128, 128)
    assert highest_r2(structure(shape) + noise(shape)) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("planes", [1, 4])
def test_too_few_planes_are_not_known(planes):
    shape = (planes, 32, 32)
    numbers = measured(noise(shape), noise(shape))
    assert all(np.isnan(list(numbers.values())))


def test_constant_targets_and_predictions():
    constant = np.ones(SHAPE, np.float32)
    assert all(np.isnan(list(measured(noise(), constant).values())))
    numbers = measured(constant, structure() + noise())
    assert numbers["r2_ceiling"] == pytest.approx(0.5, abs=0.02)
    assert np.isnan(numbers["pearson_share"])


def test_no_share_of_almost_nothing():
    assert share(0.01, 0.5) == pytest.approx(0.02)
    assert np.isnan(share(0.01, 0.02))
    assert np.isnan(share(0.01, np.nan))


def test_neighbours_in_a_plane_are_alike_in_a_structure_only():
    """Planes may be so far apart that a structure differs in them like noise."""
    coarse = structure()[::5]
    assert highest_r2(coarse) < 0.2
    assert likeness_in_planes(coarse) > 0.4
    assert likeness_in_planes(noise()) == pytest.approx(0, abs=0.02)
    assert np.isnan(likeness_in_planes(np.ones((5, 1, 1), np.float32)))
