"""Resolution: where a blurred or noisy copy stops to agree with its source."""

import numpy as np
import pytest
from scipy import fft

from ssp_model.evaluation.panel import Pair
from ssp_model.evaluation.resolution import BANDS_UM, half_bit, measure_resolution, resolution_um

SHAPE, VOXEL_UM = (48, 96, 120), 0.29
RNG = np.random.default_rng(0)
TARGET = RNG.normal(size=SHAPE).astype(np.float32)
Z, Y, X = (
    transform(size, VOXEL_UM) for transform, size in zip((fft.fftfreq, fft.fftfreq, fft.rfftfreq), SHAPE, strict=True)
)
AXIAL, LATERAL = (Z**2)[:, None, None], Y[:, None] ** 2 + X**2


def filtered(response, noise=0.01):
    """Filter the target, and add noise to it."""
    blurred = fft.irfftn(fft.rfftn(TARGET) * response, s=SHAPE)
    return (blurred + noise * RNG.normal(size=SHAPE)).astype(np.float32)


def measured(prediction, voxel_size_um=(VOXEL_UM,) * 3):
    return measure_resolution(Pair(prediction, TARGET, voxel_size_um, "dna"), None)


@pytest.mark.parametrize("smallest_um", [0.7, 1.0, 1.5])
def test_an_objective_that_passes_no_finer_details(smallest_um):
    """An objective has a cutoff; what is finer is only noise."""
    numbers = measured(filtered(smallest_um**-2 > LATERAL + AXIAL)).numbers
    assert numbers["resolution_xy_um"] == pytest.approx(smallest_um, rel=0.1)
    assert numbers["resolution_z_um"] == pytest.approx(smallest_um, rel=0.15)


@pytest.mark.parametrize("sigma_um", [0.3, 0.5, 0.8])
def test_a_gaussian_blur_with_noise(sigma_um):
    """The correlation is 1 / sqrt(1 + noise^2 / response^2)."""
    noise, threshold = 0.05, half_bit(np.inf)
    response = np.exp(-2 * np.pi**2 * sigma_um**2 * (LATERAL + AXIAL))
    expected = np.pi * sigma_um * np.sqrt(2 / -np.log(noise / np.sqrt(1 / threshold**2 - 1)))
    numbers = measured(filtered(response, noise)).numbers
    assert numbers["resolution_xy_um"] == pytest.approx(expected, rel=0.1)
    assert numbers["resolution_z_um"] == pytest.approx(expected, rel=0.1)


def test_directions_are_told_apart():
    numbers = measured(filtered((LATERAL < 0.7**-2) & (AXIAL < 1.4**-2))).numbers
    assert numbers["resolution_xy_um"] == pytest.approx(0.7, rel=0.15)
    assert numbers["resolution_z_um"] == pytest.approx(1.4, rel=0.15)


def test_voxels_of_unequal_sizes():
    """In a volume whose planes are twice as far apart, the same frequency along Z is half as high."""
    numbers = measured(filtered(LATERAL + AXIAL < 1), (2 * VOXEL_UM, VOXEL_UM, VOXEL_UM)).numbers
    assert numbers["resolution_z_um"] == pytest.approx(2.0, rel=0.15)


def test_a_perfect_prediction_is_as_fine_as_voxels_can_be():
    numbers = measured(TARGET).numbers
    assert numbers["resolution_xy_um"] == pytest.approx(2 * VOXEL_UM, rel=0.02)
    assert numbers["resolution_z_um"] == pytest.approx(2 * VOXEL_UM, rel=0.02)
    assert [numbers[f"pearson_{band}"] for band in BANDS_UM] == pytest.approx([1.0] * 4)


def test_a_prediction_of_something_else_resolves_nothing():
    numbers = measured(RNG.normal(size=SHAPE).astype(np.float32)).numbers
    assert np.isnan(numbers["resolution_xy_um"])
    assert np.isnan(numbers["resolution_z_um"])
    assert numbers["pearson_below_1um"] == pytest.approx(0, abs=0.02)


def test_bands_are_correlations_of_their_details():
    numbers = measured(filtered(LATERAL + AXIAL < 2**-2, noise=0)).numbers
    assert numbers["pearson_above_4um"] == pytest.approx(1, abs=1e-3)
    assert numbers["pearson_2_to_4um"] == pytest.approx(1, abs=0.05)
    assert numbers["pearson_1_to_2um"] < 0.4
    assert numbers["pearson_below_1um"] < 0.1


def test_a_constant_prediction_resolves_nothing():
    numbers = measured(np.zeros_like(TARGET)).numbers
    assert all(np.isnan(list(numbers.values())))


def test_without_a_voxel_size_nothing_is_known():
    found = measured(TARGET, None)
    assert all(np.isnan(list(found.numbers.values())))
    assert not found.curves


@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 9, 8), (16, 1, 33)])
def test_thin_volumes(shape):
    volume = RNG.normal(size=shape).astype(np.float32)
    numbers = measure_resolution(Pair(volume, volume, (0.3, 0.3, 0.3), "dna"), None).numbers
    assert set(numbers) == {metric for metric in numbers if np.isnan(numbers[metric]) or numbers[metric] > 0}


def test_the_crossing_is_between_shells_and_no_chance():
    frequency, threshold = np.arange(1.0, 6), np.full(5, 0.2)
    # one shell below the threshold is chance
    assert resolution_um(frequency, np.array([1, 0.1, 1, 1, 1]), threshold) == pytest.approx(1 / 5)
    fall = np.array([1, 1, 0.4, 0, 0])
    assert resolution_um(frequency, fall, threshold) == pytest.approx(1 / 3.5)
    assert np.isnan(resolution_um(frequency[:0], fall[:0], threshold[:0]))


def test_few_frequencies_must_agree_better():
    assert half_bit(np.inf) == pytest.approx(0.1716, abs=1e-4)
    assert (np.diff(half_bit(np.array([4, 20, 100, 1e6]))) < 0).all()
