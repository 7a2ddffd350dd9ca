"""Simulated optics: transmitted light, confocal fluorescence and camera noise."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ssp_model.simulation.geometry import Array, Sheet, step
from ssp_model.simulation.structures import STRUCTURES

MEDIUM_INDEX = 1.337
"""Refractive index of the medium around the cells."""

OBJECTIVE_NA, CONDENSER_NA = 1.25, 0.55
"""Numerical apertures."""

LIGHT_UM = 0.58
"""Wavelength of the transmitted light."""

PSF_SIGMA_UM = (0.28, 0.09, 0.09)
"""Width of the confocal PSF, (Z, Y, X), for NA 1.25 at 0.51 um: laterally about 0.22 wavelength / NA, axially the
confocal section (Zhang et al. 2007)."""

LIGHT_PHOTONS, FLUORESCENCE_PHOTONS, BACKGROUND_PHOTONS = 4000.0, 1500.0, 25.0
"""Photons in a voxel: of transmitted light, of the brightest fluorescence, and of its background."""

CAMERA_OFFSET, COUNTS_PER_PHOTON, READ_NOISE_PHOTONS = 100.0, 0.25, 2.0
"""Offset in counts, gain, and standard deviation of the read noise."""


def refractive_index(sheet: Sheet, keep: set[str]) -> tuple[Array, dict[str, Array]]:
    """Return the refractive index minus that of the medium, (Z, Y, X), and the densities of the structures to keep.

    Only one other structure is in memory at a time.
    """
    index = step(sheet.surface) * 0.028
    index += sheet.cytoplasm * (0.004 * sheet.field("cytoplasm", 0.8).real)
    index -= 0.015 * step(-sheet.nucleus)
    kept = {}
    for name, (density, index_step) in STRUCTURES.items():
        structure = density(sheet)
        index += index_step * structure
        if name in keep:
            kept[name] = structure
    return index, kept


@lru_cache(maxsize=2)
def phase_transfer(shape: tuple[int, int, int], voxel: tuple[float, float, float]) -> Array:
    """Return the imaginary part of the 3D phase transfer function on the grid of `rfftn`, (Z, Y, X // 2 + 1).

    A source point has the lateral frequency s in the condenser's aperture S. A slice dz' at depth z' changes the
    refractive index by dn. To first Born order, they add this relative intensity at focus z and lateral frequency u:

        2 k0^2 n dn(u, z') dz' * h(u, z - z'),
        h(u, d) = -1/(2 pi) < P(s + u) / eta(s + u) * sin(2 pi (eta(s + u) - eta(s)) d) >_S,

    with eta(f) = sqrt((n / wavelength)^2 - f^2), the objective's pupil P, and d along the light. h is real and odd in
    d: an object that is dark on one side of the focus is bright on the other.

    References
    ----------
    N. Streibl, "Three-dimensional imaging by a microscope", JOSA A 2, 121 (1985).
    Y. Bao and T. K. Gaylord, "Quantitative phase imaging method based on an analytical nonparaxial partially coherent
    phase optical transfer function", JOSA A 33, 2125 (2016).
    """
    nz, ny, nx = shape
    cutoff = (OBJECTIVE_NA + CONDENSER_NA) / LIGHT_UM
    ring, spoke = np.meshgrid(np.sqrt((np.arange(14) + 0.5) / 14), np.arange(48) * 2 * np.pi / 48)
    source = CONDENSER_NA / LIGHT_UM * np.stack([ring * np.cos(spoke), ring * np.sin(spoke)]).reshape(2, -1)
    radius = np.linspace(0, cutoff, 160)
    scattered = (source[0] + radius[:, None]) ** 2 + source[1] ** 2  # (radius, source), squared frequency

    def eta(squared: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(np.maximum((MEDIUM_INDEX / LIGHT_UM) ** 2 - squared, 1e-3))

    passed = (scattered <= (OBJECTIVE_NA / LIGHT_UM) ** 2) / eta(scattered)
    beat = 2 * np.pi * (eta(scattered) - eta((source**2).sum(0)))
    # the stack goes up from the cover glass, the light comes down
    depth = -np.fft.fftfreq(nz, 1 / (nz * voxel[0]))
    kernel = np.stack([(passed * np.sin(beat * d)).mean(1) for d in depth]) / (-2 * np.pi)
    kernel *= np.cos(np.pi * depth / (nz * voxel[0]))[:, None] ** 2  # fade out before it wraps around
    table = scipy.fft.fft(kernel, axis=0).imag * (2 * (2 * np.pi / LIGHT_UM) ** 2 * MEDIUM_INDEX * voxel[0])
    table = np.pad(table, ((0, 0), (0, 1))).astype(np.float32)

    lateral = np.hypot(np.fft.fftfreq(ny, voxel[1])[:, None], np.fft.rfftfreq(nx, voxel[2]))
    position = np.minimum(lateral / (radius[1] - radius[0]), len(radius) - 1)
    below = position.astype(int)
    share = (position - below).astype(np.float32)
    return table[:, below] * (1 - share) + table[:, below + 1] * share


def transmit(sheet: Sheet, index: Array) -> Array:
    """Return the transmitted light relative to the background, (Z, Y, X), for a refractive index above the medium's."""
    nz, ny, nx = sheet.shape
    padded = (scipy.fft.next_fast_len(nz + max(12, nz // 3), real=True), ny, nx)
    light = scipy.fft.rfftn(index, s=padded)
    light *= phase_transfer(padded, sheet.voxel)
    light *= 1j
    change = scipy.fft.irfftn(light, s=padded, overwrite_x=True)[:nz]
    tilt_y, tilt_x = sheet.rng("shading").uniform(-0.04, 0.04, 2)
    y, x = np.linspace(-1, 1, ny)[:, None], np.linspace(-1, 1, nx)
    shading = 1 + tilt_y * y + tilt_x * x - 0.03 * (y**2 + x**2)
    return (1 + change) * shading.astype(np.float32)


def blur(density: Array, voxel: tuple[float, float, float]) -> Array:
    """Convolve a density with the Gaussian PSF of the confocal microscope."""
    padded = (scipy.fft.next_fast_len(density.shape[0] + 6, real=True), *density.shape[1:])
    spectrum = scipy.fft.rfftn(density, s=padded)
    for axis, (n, d, sigma) in enumerate(zip(padded, voxel, PSF_SIGMA_UM, strict=True)):
        frequency = np.fft.rfftfreq(n, d) if axis == 2 else np.fft.fftfreq(n, d)
        transfer = np.exp(-2 * (np.pi * sigma * frequency) ** 2).astype(np.float32)
        spectrum *= np.expand_dims(transfer, [other for other in range(3) if other != axis])
    return scipy.fft.irfftn(spectrum, s=padded, overwrite_x=True)[: density.shape[0]]


def expose(rng: np.random.Generator, photons: Array) -> NDArray[np.uint16]:
    """Return camera counts: photons with shot noise (normal approximation), read noise and an offset."""
    photons = np.maximum(photons, 0)
    counts = rng.standard_normal(photons.shape, dtype=np.float32)
    counts *= np.sqrt(photons + READ_NOISE_PHOTONS**2)
    counts += photons
    counts *= COUNTS_PER_PHOTON
    return np.clip(counts + (CAMERA_OFFSET + 0.5), 0, 65535).astype(np.uint16)


def expected_counts(photons: Array) -> Array:
    """Return the camera counts without noise: the mean of what `expose` returns, before it rounds."""
    return np.maximum(photons, 0) * np.float32(COUNTS_PER_PHOTON) + np.float32(CAMERA_OFFSET)
