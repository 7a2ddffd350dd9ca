"""Simulated optics: transmitted light, confocal fluorescence, camera noise."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ssp_model.simulation.geometry import Array, Sheet, step
from ssp_model.simulation.structures import STRUCTURES

MEDIUM_INDEX = 1.337

OBJECTIVE_NA, CONDENSER_NA = 1.25, 0.55

LIGHT_UM = 0.58
"""Wavelength of the transmitted light."""

PSF_SIGMA_UM = (0.28, 0.09, 0.09)
"""About 0.22 wavelength / NA across; axially the confocal section of NA 1.25 at 0.51 um (Zhang et al. 2007)."""

LIGHT_PHOTONS, FLUORESCENCE_PHOTONS, BACKGROUND_PHOTONS = 4000.0, 1500.0, 25.0
"""A voxel: of the transmitted light, of the brightest fluorescence and of the background below it."""

CAMERA_OFFSET, COUNTS_PER_PHOTON, READ_NOISE_PHOTONS = 100.0, 0.25, 2.0


def refractive_index(sheet: Sheet, keep: set[str]) -> tuple[Array, dict[str, Array]]:
    """Refractive index above the medium's, and the densities to keep; one structure in memory at a time."""
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
    """Imaginary part of the 3D phase transfer function, (Z, Y, X // 2 + 1), on the grid of `rfftn`.

    To first Born order, a source point of lateral frequency s in the condenser's aperture S and a refractive
    index change dn in a slice dz' at depth z' add, at focus z and lateral frequency u, the relative intensity

        2 k0^2 n dn(u, z') dz' * h(u, z - z'),
        h(u, d) = -1/(2 pi) < P(s + u) / eta(s + u) * sin(2 pi (eta(s + u) - eta(s)) d) >_S,

    with eta(f) = sqrt((n / wavelength)^2 - f^2), P the objective's pupil and d along the light. h is real and odd
    in d: an object dark on one side of focus is bright on the other. N. Streibl, "Three-dimensional imaging by a
    microscope", JOSA A 2, 121 (1985); Y. Bao and T. K. Gaylord, "Quantitative phase imaging method based on an
    analytical nonparaxial partially coherent phase optical transfer function", JOSA A 33, 2125 (2016).
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
    # the stack runs up from the cover glass and the light comes down
    depth = -np.fft.fftfreq(nz, 1 / (nz * voxel[0]))
    kernel = np.stack([(passed * np.sin(beat * d)).mean(1) for d in depth]) / (-2 * np.pi)
    kernel *= np.cos(np.pi * depth / (nz * voxel[0]))[:, None] ** 2  # fades before it wraps around
    table = scipy.fft.fft(kernel, axis=0).imag * (2 * (2 * np.pi / LIGHT_UM) ** 2 * MEDIUM_INDEX * voxel[0])
    table = np.pad(table, ((0, 0), (0, 1))).astype(np.float32)

    lateral = np.hypot(np.fft.fftfreq(ny, voxel[1])[:, None], np.fft.rfftfreq(nx, voxel[2]))
    position = np.minimum(lateral / (radius[1] - radius[0]), len(radius) - 1)
    below = position.astype(int)
    share = (position - below).astype(np.float32)
    return table[:, below] * (1 - share) + table[:, below + 1] * share


def transmit(sheet: Sheet, index: Array) -> Array:
    """Transmitted light, relative to the background, through a refractive-index map above the medium's."""
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
    """The density as the confocal microscope sees it: convolved with the Gaussian PSF."""
    padded = (scipy.fft.next_fast_len(density.shape[0] + 6, real=True), *density.shape[1:])
    spectrum = scipy.fft.rfftn(density, s=padded)
    for axis, (n, d, sigma) in enumerate(zip(padded, voxel, PSF_SIGMA_UM, strict=True)):
        frequency = np.fft.rfftfreq(n, d) if axis == 2 else np.fft.fftfreq(n, d)
        transfer = np.exp(-2 * (np.pi * sigma * frequency) ** 2).astype(np.float32)
        spectrum *= np.expand_dims(transfer, [other for other in range(3) if other != axis])
    return scipy.fft.irfftn(spectrum, s=padded, overwrite_x=True)[: density.shape[0]]


def expose(rng: np.random.Generator, photons: Array) -> NDArray[np.uint16]:
    """Camera counts: shot noise, in its normal approximation, read noise and an offset."""
    photons = np.maximum(photons, 0)
    counts = rng.standard_normal(photons.shape, dtype=np.float32)
    counts *= np.sqrt(photons + READ_NOISE_PHOTONS**2)
    counts += photons
    counts *= COUNTS_PER_PHOTON
    return np.clip(counts + (CAMERA_OFFSET + 0.5), 0, 65535).astype(np.uint16)
