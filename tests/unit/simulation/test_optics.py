"""Transmitted light through focus, and what the camera records."""

import numpy as np

from ssp_model.simulation.geometry import Grid, stamp
from ssp_model.simulation.optics import expected_counts, expose, phase_transfer


def test_transmitted_light_reverses_through_focus() -> None:
    shape, voxel = (48, 64, 64), (0.29, 0.10833, 0.10833)
    grid = Grid(shape, voxel, (0,))
    bead = stamp(grid, grid.extent[None] / 2, 0.2)
    spectrum = np.fft.rfftn(bead) * 1j * phase_transfer(shape, voxel)
    axis = np.fft.irfftn(spectrum, s=shape, axes=(0, 1, 2))[:, 32, 32]

    assert axis[22] * axis[26] < 0
    # the light comes down, so a denser bead focuses it below itself
    assert axis[22] > 0 > axis[26]
    np.testing.assert_allclose(axis[24 - 6 : 24], -axis[24 : 24 + 6][::-1], atol=0.01 * abs(axis).max())


def test_counts_without_noise_are_the_mean_of_exposures() -> None:
    photons = np.linspace(0, 1500, 50, dtype=np.float32)
    rng = np.random.default_rng(0)
    counts = np.mean([expose(rng, photons) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(expected_counts(photons), counts, atol=0.6)
    assert abs((expected_counts(photons) - counts).mean()) < 0.05
