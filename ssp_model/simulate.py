"""A small simulated collection in the layout of the Allen Institute's label-free collection.

Everything here is SIMULATED: no pixel comes from a microscope. It lets the demo, the tests and the scale tests
run the whole pipeline with no download. What is modelled, and how:

- A sheet of packed cells on a cover glass, its geometry held as distances (um) to cell borders, to the apical and
  basal surfaces, to nuclear envelopes and to nucleoli; each structure is a density made from these distances and
  from random fields. The field is periodic in Y and X, so the optics need no padding there.
- Transmitted light: the refractive index of all structures together, imaged by a weak-object (first Born), partially
  coherent transfer function (`phase_transfer`), with shading and camera noise.
- Fluorescence: one structure's density, blurred by the Gaussian approximation of a spinning-disk confocal PSF,
  with camera noise.

Axes are Z (up from the cover glass), Y, X; lengths are in um. A stack too low for the cells gets flatter cells.
The optics leave out aberrations, multiple scattering and absorption; cells neither divide nor die.
"""

import csv
import json
import logging
import multiprocessing
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from pylibCZIrw import czi
from scipy.spatial import cKDTree

from ssp_model.errors import InputError
from ssp_model.log import progress

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
"""A float32 array, (Z, Y, X) unless said otherwise."""
Points = NDArray[np.float64]
"""Places and lengths, in um; the last axis is Z, Y, X or Y, X."""

MEDIUM_INDEX = 1.337
OBJECTIVE_NA, CONDENSER_NA = 1.25, 0.55
LIGHT_UM = 0.58
"""Wavelength of the transmitted light."""
PSF_SIGMA_UM = (0.28, 0.09, 0.09)
"""About 0.22 wavelength / NA across; axially the confocal section of NA 1.25 at 0.51 um (Zhang et al. 2007)."""

CELL_UM, CELL_HEIGHT_UM = 12.6, 9.5
NUCLEUS_RADII_UM = (3.1, 4.6, 4.6)
LIGHT_PHOTONS, FLUORESCENCE_PHOTONS, BACKGROUND_PHOTONS = 4000.0, 1500.0, 25.0
"""A voxel: of the transmitted light, of the brightest fluorescence and of the background below it."""
CAMERA_OFFSET, COUNTS_PER_PHOTON, READ_NOISE_PHOTONS = 100.0, 0.25, 2.0

CHANNELS = ("CMDRP_camera_2", "CMDRP", "EGFP_camera_2", "EGFP", "H3342_camera_2", "H3342", "Bright_100")
"""Channels named after a second camera are its companions: weak bleed-through of the channel after them."""
MEMBRANE_CHANNELS = ("H3342_camera_2", "H3342", "EGFP_camera_2", "EGFP", "Bright_100")
"""A line whose label is the membrane needs no membrane dye: five channels, signal 4 and target 3."""

PROTEINS = {
    "alpha_tubulin": "Alpha tubulin",
    "beta_actin": "Beta actin",
    "desmoplakin": "Desmoplakin",
    "fibrillarin": "fibrillarin",
    "lamin_b1": "Lamin B1",
    "membrane_caax_63x": "CAAX",
    "myosin_iib": "myosin iib",
    "sec61_beta": "Sec61 beta",
    "st6gal1": "ST6GAL1",
    "tom20": "Tom20",
    "zo1": "ZO1",
}
"""The structures that can be simulated, with the names the collection's lists give the proteins."""
NOT_IN_DNA = ("fibrillarin", "membrane_caax_63x")
"""Structures whose images are no candidates for the DNA task, as in the collection."""


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Which images to simulate; two equal configs give equal pixels."""

    structures: tuple[str, ...]
    images: int
    """Images a structure."""
    shape_zyx: tuple[int, int, int] = (32, 256, 256)
    voxel_size_um: tuple[float, float, float] = (0.29, 0.10833, 0.10833)
    seed: int = 0


@dataclass(frozen=True)
class Grid:
    """The voxels of one image, and the seed of its random draws."""

    shape: tuple[int, int, int]
    voxel: tuple[float, float, float]
    seed: tuple[int, ...]

    @property
    def extent(self) -> Points:
        """Size of the field, (3,)."""
        return np.array(self.shape) * self.voxel

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that no structure's draws shift another's."""
        return np.random.default_rng([*self.seed, zlib.crc32(purpose.encode())])

    def field(self, purpose: str, spacing_um: float, flat: bool = False) -> NDArray[np.complex64]:
        """Gaussian random field, periodic, of unit variance: (Z, Y, X), or (1, Y, X) if flat.

        Its real and imaginary parts are two independent fields, both for the price of one transform. The lines
        on which both vanish are curvy tubes; the surfaces on which one vanishes are folded sheets.
        """
        shape, centre = (1, *self.shape[1:]) if flat else self.shape, 1 / spacing_um
        frequencies = [np.fft.fftfreq(n, d).astype(np.float32) for n, d in zip(shape, self.voxel, strict=True)]
        kept = [np.flatnonzero(np.abs(k) <= 1.8 * centre) for k in frequencies]
        radius = np.sqrt(sum(k**2 for k in np.ix_(*(k[i] for k, i in zip(frequencies, kept, strict=True)))))
        amplitude = np.exp(-(((radius - 0.8 * centre) / (0.45 * centre)) ** 2)) * (radius > 0)
        noise = self.rng(purpose).standard_normal((2, *radius.shape), dtype=np.float32)
        block = (noise[0] + 1j * noise[1]) * (amplitude / max(float(np.linalg.norm(amplitude)), 1e-6))
        for axis, n in enumerate(shape):  # only the kept frequencies are transformed
            padded = np.zeros((*block.shape[:axis], n, *block.shape[axis + 1 :]), np.complex64)
            padded[(slice(None),) * axis + (kept[axis],)] = block
            block = scipy.fft.ifft(padded, axis=axis, norm="forward", overwrite_x=True)
        return block

    def copies(self, centre_yx: Points, reach_um: float) -> Iterator[Points]:
        """A place and those of its copies in the neighbouring periods that reach into the field."""
        side = self.extent[1:]
        for shift in np.ndindex(3, 3):
            copy = centre_yx + side * (np.array(shift) - 1)
            if (copy > -reach_um).all() and (copy < side + reach_um).all():
                yield copy

    def window(self, axis: int, centre: float, reach_um: float) -> tuple[slice, Array]:
        """The voxels within reach of a place along one axis, and their distances from it."""
        first, last = (int((centre + reach) / self.voxel[axis]) for reach in (-reach_um, reach_um))
        start, stop = np.clip((first, last + 1), 0, self.shape[axis])
        distance = (np.arange(start, stop) + 0.5) * self.voxel[axis] - centre
        return slice(start, stop), distance.astype(np.float32)


@dataclass(frozen=True)
class Sheet(Grid):
    """The geometry of one field of cells: distances, each (Z, Y, X), and the places of its cells."""

    height: float
    """Of the cells."""
    altitude: Array
    """Above the cover glass, (Z, 1, 1)."""
    border: Array
    """To the nearest border between two cells."""
    surface: Array
    """To the apical or basal surface: positive within the cells."""
    nucleus: Array
    """To the nearest nuclear envelope: negative within a nucleus."""
    nucleolus: Array
    """To the nearest nucleolus' surface: negative within."""
    centres: Points
    """The centres of the nuclei, (cells, 3)."""

    @property
    def cytoplasm(self) -> Array:
        """1 within a cell and outside its nucleus, else 0, with soft edges."""
        return step(self.surface - 0.1) * step(self.nucleus - 0.1)

    def level(self, share: float, sigma_share: float) -> Array:
        """A layer at a share of the cells' height, (Z, 1, 1)."""
        return ridge(self.altitude - share * self.height, max(sigma_share * self.height, 0.15))


def step(distance: Array, width_um: float = 0.25) -> Array:
    """1 where the distance is positive, 0 where it's negative, linear over `width_um` between."""
    return np.clip(distance * (1 / width_um) + 0.5, 0, 1)


def ridge(distance: Array, sigma_um: float) -> Array:
    """Gaussian profile: 1 where the distance is 0."""
    return np.exp(np.square(distance) * (-0.5 / sigma_um**2))


def fade(distance: Array, length_um: float) -> Array:
    """1 up to where the distance is 0, then falling exponentially."""
    return np.exp(np.maximum(distance, 0) * (-1 / length_um))


def rounded_maximum(a: Array, b: Array, width_um: float) -> Array:
    """The larger of two distances, rounded where they meet: no solid keeps a sharp edge."""
    share = np.clip((a - b) * (0.5 / width_um) + 0.5, 0, 1)
    return b + (a - b) * share + width_um * share * (1 - share)


def grow_sheet(grid: Grid) -> Sheet:
    """Pack cells into the field and give each a nucleus with nucleoli."""
    rng = grid.rng("sheet")
    depth = float(grid.extent[0])
    height = min(CELL_HEIGHT_UM, 0.84 * depth)
    glass = 0.4 * (depth - height) + float(rng.uniform(-0.03, 0.03)) * height
    altitude = grid.window(0, glass, depth)[1][:, None, None]

    warp = grid.field("warp", 7.0)
    cells_yx = scatter_cells(rng, grid.extent[1:])
    border = border_distance(grid, warp, cells_yx)
    dome = 1 - 0.22 * fade(border.mean(0), 2.2) + 0.035 * grid.field("bumps", 6.0, flat=True).real
    surface: Array = np.minimum(altitude, height * dome - altitude)

    middle = glass + height * rng.uniform(0.40, 0.48, len(cells_yx))
    centres = np.column_stack([middle, cells_yx + rng.normal(0, 0.4, cells_yx.shape)])
    squash = height / CELL_HEIGHT_UM
    nucleus, nucleolus = place_nuclei(grid, centres, squash)
    # a nucleus is no perfect ellipsoid, and yields to the borders and surfaces of its cell
    wrinkles = grid.field("wrinkles", 1.8)
    nucleus += 0.35 * warp.imag + 0.06 * wrinkles.imag
    nucleus = rounded_maximum(nucleus, 0.7 - border, 1.5)
    nucleus = rounded_maximum(nucleus, 0.6 * squash - surface, 0.6 * squash)
    nucleolus += 0.13 * wrinkles.real
    np.maximum(nucleolus, nucleus + 0.35, out=nucleolus)
    return Sheet(grid.shape, grid.voxel, grid.seed, height, altitude, border, surface, nucleus, nucleolus, centres)


def scatter_cells(rng: np.random.Generator, side_yx: Points) -> Points:
    """Places of packed cells, (cells, 2): random, then moved to the middle of their cells (Lloyd)."""
    cells = rng.uniform(0, 1, (max(1, round(float(side_yx.prod()) / CELL_UM**2)), 2)) * side_yx
    for _ in range(4):
        places = rng.uniform(0, 1, (400 * len(cells), 2)) * side_yx
        nearest = cKDTree(cells, boxsize=side_yx).query(places)[1]
        away = np.mod(places - cells[nearest] + side_yx / 2, side_yx) - side_yx / 2
        share = np.maximum(np.bincount(nearest, minlength=len(cells)), 1)
        shift = [np.bincount(nearest, axis, len(cells)) / share for axis in away.T]
        cells = np.mod(cells + np.stack(shift, 1), side_yx)
    return cells


def border_distance(grid: Grid, warp: NDArray[np.complex64], cells_yx: Points) -> Array:
    """Distance to the border between the two nearest cells (a warped Voronoi diagram), (Z, Y, X).

    With squared distances a < b to centres L apart it is (b - a) / 2L. Plane by plane, since the working set
    then stays in the processor's cache.
    """
    reach = 1.6 * CELL_UM
    border = np.empty(grid.shape, np.float32)
    copies = np.array([copy for cell in cells_yx for copy in grid.copies(cell, reach)])
    windows = [(grid.window(1, y, reach), grid.window(2, x, reach)) for y, x in copies]
    between = np.linalg.norm(copies[:, None] - copies, axis=-1).astype(np.float32)
    np.fill_diagonal(between, CELL_UM)
    for z, plane in enumerate(0.55 * warp):
        nearest, second = np.full((2, *plane.shape), reach**2, np.float32)
        cell, neighbour = np.zeros((2, *plane.shape), np.int16)
        for k, ((ys, y), (xs, x)) in enumerate(windows):
            at = ys, xs
            squared = np.square(plane.real[at] + y[:, None]) + np.square(plane.imag[at] + x)
            closest, closer = squared < nearest[at], squared < second[at]
            neighbour[at] = np.where(closest, cell[at], np.where(closer, k, neighbour[at]))
            second[at] = np.where(closest, nearest[at], np.minimum(second[at], squared))
            nearest[at] = np.minimum(nearest[at], squared)
            cell[at][closest] = k
        border[z] = (second - nearest) / (2 * between[cell, neighbour])
    return border


def place_nuclei(grid: Grid, centres: Points, squash: float) -> tuple[Array, Array]:
    """Signed distances to the nuclei, ellipsoids of about 9 x 9 x 6 um, and to their two to five nucleoli."""
    rng = grid.rng("nuclei")
    flat = np.array((squash, 1, 1))
    nucleus, nucleolus = np.full((2, *grid.shape), 4, np.float32)
    for centre in centres:
        radii = flat * NUCLEUS_RADII_UM * rng.uniform(0.88, 1.12, 3)
        carve_ellipsoid(nucleus, grid, centre, radii, rng)
        for _ in range(rng.integers(2, 6)):
            direction = rng.normal(size=3)
            direction *= np.cbrt(rng.uniform(0.02, 0.4)) / np.linalg.norm(direction)
            blob = rng.uniform(0.6, 1.25) * rng.uniform(0.8, 1.25, 3) * flat
            carve_ellipsoid(nucleolus, grid, centre + direction * radii, blob, rng)
    return nucleus, nucleolus


def carve_ellipsoid(distance: Array, grid: Grid, centre: Points, radii: Points, rng: np.random.Generator) -> None:
    """Lower `distance`, in place, to the signed distance from an ellipsoid, turned at random about Z.

    Exact on the surface, near it to first order: k0 (k0 - 1) / k1 with k0 = |p / r|, k1 = |p / r^2|.
    """
    margin = min(4.0, float(radii.max()))
    reach, angle = float(radii.max()) + margin, rng.uniform(0, np.pi)
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    rz, ry, rx = (float(radius) for radius in radii)
    for copy in grid.copies(centre[1:], reach):
        zs, z = grid.window(0, centre[0], rz + margin)
        (ys, y), (xs, x) = (grid.window(axis, place, reach) for axis, place in zip((1, 2), copy, strict=True))
        along, across = cosine * y[:, None] + sine * x, cosine * x - sine * y[:, None]
        lateral = np.square(along / ry) + np.square(across / rx)
        lateral_2 = np.square(along / ry**2) + np.square(across / rx**2)
        for plane, rise in zip(distance[zs, ys, xs], z, strict=True):
            k0 = np.sqrt(lateral + (rise / rz) ** 2)
            k1 = np.sqrt(lateral_2 + (rise / rz**2) ** 2) + 1e-6
            np.minimum(plane, k0 * (k0 - 1) / k1, out=plane)


def stamp(grid: Grid, points: Points, sigma_um: float) -> Array:
    """A Gaussian blob of peak 1 at each point, (points, 3); periodic in Y and X."""
    nz, ny, nx = grid.shape
    reach = np.ceil(2.5 * sigma_um / np.array(grid.voxel)).astype(int)
    box = np.moveaxis(np.mgrid[tuple(slice(-r, r + 1) for r in reach)], 0, -1).reshape(-1, 3)
    blobs = np.zeros(nz * ny * nx, np.float32)
    for some in np.array_split(points, max(1, len(points) * len(box) // 1_000_000)):
        at = np.floor(some / grid.voxel).astype(int)[:, None] + box
        squared = np.square((at + 0.5) * grid.voxel - some[:, None]).sum(-1)
        z, y, x = np.moveaxis(at, -1, 0)
        inside = (z >= 0) & (z < nz)
        flat = (z * ny + y % ny) * nx + x % nx
        np.add.at(blobs, flat[inside], np.exp(-0.5 / sigma_um**2 * squared[inside]).astype(np.float32))
    return blobs.reshape(grid.shape)


def trace(grid: Grid, points: Points) -> Array:
    """How many of the points, (points, 3), fall into each voxel; periodic in Y and X."""
    nz, ny, nx = grid.shape
    z, y, x = np.floor(points / grid.voxel).astype(np.int64).T
    flat = ((z * ny + y % ny) * nx + x % nx)[(z >= 0) & (z < nz)]
    return np.bincount(flat, minlength=nz * ny * nx).astype(np.float32).reshape(grid.shape)


def dna(sheet: Sheet) -> Array:
    """Chromatin: mottled, denser along the envelope, all but absent from nucleoli."""
    mottle = sheet.field("chromatin", 0.9).real
    chromatin = 1 + 0.35 * np.clip(mottle, -2, 2) + 0.45 * ridge(sheet.nucleus + 0.25, 0.25)
    return chromatin * step(-sheet.nucleus) * (1 - 0.85 * step(-sheet.nucleolus, 0.35))


def fibrillarin(sheet: Sheet) -> Array:
    """Nucleoli, over a faint nucleoplasm."""
    return step(-sheet.nucleolus, 0.35) + 0.04 * step(-sheet.nucleus)


def lamin_b1(sheet: Sheet) -> Array:
    """The nuclear envelope: a shell, over a faint nucleoplasm."""
    return ridge(sheet.nucleus, 0.13) + 0.06 * step(-sheet.nucleus)


def membrane_caax_63x(sheet: Sheet) -> Array:
    """The plasma membrane: lateral borders, and fainter, since cut flat, the apical and basal surfaces."""
    lateral = ridge(sheet.border, 0.11) * step(sheet.surface)
    return np.maximum(lateral, 0.5 * ridge(sheet.surface, 0.14)) + 0.02 * step(sheet.surface)


def tom20(sheet: Sheet) -> Array:
    """Mitochondria: curvy tubes, crowded around the nucleus."""
    field = sheet.field("mitochondria", 2.0)
    tubes = ridge(np.abs(field), 0.38)
    crowd = fade(sheet.nucleus - 1.8, 1.8) * step(sheet.border - 0.5, 0.5)
    return tubes * crowd * sheet.cytoplasm * step(sheet.nucleus - 0.45, 0.4)


def sec61_beta(sheet: Sheet) -> Array:
    """Endoplasmic reticulum: folded sheets through the cytoplasm, dense around the nucleus."""
    sheets = ridge(sheet.field("reticulum", 1.3).real, 0.35)
    near = 0.25 + 0.75 * fade(sheet.nucleus, 1.3)
    return (0.3 + 0.7 * sheets) * near * sheet.cytoplasm * step(sheet.border - 0.3, 0.4)


def st6gal1(sheet: Sheet) -> Array:
    """Golgi apparatus: a compact stack of ribbons beside and above each nucleus."""
    rng = sheet.rng("golgi")
    squash = sheet.height / CELL_HEIGHT_UM
    angle = rng.uniform(0, 2 * np.pi, len(sheet.centres))
    beside = np.column_stack([squash * rng.uniform(0.5, 2.5, len(angle)), 4.6 * np.sin(angle), 4.6 * np.cos(angle)])
    steps = rng.normal(0, (0.25 * squash, 0.6, 0.6), (len(angle), 24, 3))
    beads = (sheet.centres + beside)[:, None] + np.cumsum(steps, 1) - steps.sum(1, keepdims=True) / 2
    body = np.minimum(stamp(sheet, beads.reshape(-1, 3), 0.5), 1)
    ribbons = ridge(sheet.field("ribbons", 1.2).real, 0.45)
    return body * (0.2 + 0.8 * ribbons) * sheet.cytoplasm


def alpha_tubulin(sheet: Sheet) -> Array:
    """Microtubules: fine fibres from beside each nucleus, around it and out to the border."""
    rng = sheet.rng("microtubules")
    shape = (len(sheet.centres), 220)
    angle, level = rng.uniform(0, 2 * np.pi, shape), rng.uniform(-0.4, 0.42, shape)

    def around(radius_um: tuple[float, float], turn: float) -> Points:
        """Points around the nuclei, (cells, fibres, 1, 3)."""
        radius, at = rng.uniform(*radius_um, shape), angle + rng.normal(0, turn, shape)
        rise = np.clip(level + rng.normal(0, 0.05, shape), -0.42, 0.45) * sheet.height
        offsets = np.stack([rise, radius * np.sin(at), radius * np.cos(at)], -1)
        return (sheet.centres[:, None] + offsets)[:, :, None]

    start, middle, end = around((1.5, 4.5), 0.9), around((4.5, 6.0), 0.5), around((5.5, 9.0), 0.4)
    t = np.linspace(0, 1, 300)[:, None]
    paths = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    paths += rng.normal(0, 0.05, paths.shape)
    fine = np.clip(trace(sheet, paths.reshape(-1, 3)), 0, 8)
    return (0.3 * fine + 0.05) * sheet.cytoplasm


def beta_actin(sheet: Sheet) -> Array:
    """Actin: the cortex under all borders, the apical cap with its microvilli, and basal fibres."""
    field = sheet.field("actin", 1.5)
    cortex = ridge(sheet.border, 0.2) * step(sheet.surface)
    apical = sheet.level(0.9, 0.07) * step(sheet.surface + 0.2)
    basal = ridge(sheet.altitude - 0.25, 0.25) * ridge(field.real, 0.2)
    villi = 0.25 + 0.35 * np.clip(field.imag, 0, 2)
    return cortex + apical * villi + 0.6 * basal + 0.05 * sheet.cytoplasm


def myosin_iib(sheet: Sheet) -> Array:
    """Actomyosin bundles: in pieces along the borders, most at the apical belt, and across the base."""
    field = sheet.field("myosin", 2.2)
    pieces = ridge(sheet.border - 0.12, 0.14) * step(field.imag - 0.1, 0.8) * step(sheet.surface)
    belt = 0.35 + sheet.level(0.75, 0.1)
    basal = ridge(sheet.altitude - 0.35, 0.3) * ridge(field.real, 0.12) * step(sheet.surface)
    return pieces * belt + 0.7 * basal + 0.05 * sheet.cytoplasm


def desmoplakin(sheet: Sheet) -> Array:
    """Desmosomes: puncta on the borders between cells, most in the upper half."""
    rng = sheet.rng("desmosomes")
    likely = ridge(sheet.border, 0.08) * sheet.level(0.62, 0.2)
    chance = np.cumsum((likely * step(sheet.surface)).ravel(), dtype=np.float64)
    area = sheet.shape[1] * sheet.voxel[1] * sheet.shape[2] * sheet.voxel[2]
    chosen = np.searchsorted(chance, rng.uniform(0, chance[-1], round(0.22 * area)))
    voxels = np.column_stack(np.unravel_index(np.minimum(chosen, chance.size - 1), sheet.shape))
    return np.minimum(stamp(sheet, (voxels + 0.5) * np.array(sheet.voxel), 0.17), 1.5)


def zo1(sheet: Sheet) -> Array:
    """Tight junctions: a belt along the borders, just below the apical surface."""
    return ridge(sheet.border, 0.11) * sheet.level(0.72, 0.045)


def granules(sheet: Sheet) -> Array:
    """Lipid droplets and granules: small, dense, seen by the transmitted light alone."""
    rng = sheet.rng("granules")
    spread = np.array([0.25 * sheet.height, 4.5, 4.5])
    total = np.zeros(sheet.shape, np.float32)
    for radius_um, count in ((0.13, 40), (0.2, 14), (0.3, 4)):
        centres = np.repeat(sheet.centres, count, axis=0)
        total += stamp(sheet, centres + rng.normal(size=centres.shape) * spread, radius_um)
    return np.minimum(total, 1) * sheet.cytoplasm


STRUCTURES: dict[str, tuple[Callable[[Sheet], Array], float]] = {
    "dna": (dna, 0.007),
    "fibrillarin": (fibrillarin, 0.030),
    "lamin_b1": (lamin_b1, 0.012),
    "membrane_caax_63x": (membrane_caax_63x, 0.018),
    "tom20": (tom20, 0.034),
    "sec61_beta": (sec61_beta, 0.005),
    "st6gal1": (st6gal1, 0.022),
    "alpha_tubulin": (alpha_tubulin, 0.004),
    "beta_actin": (beta_actin, 0.008),
    "myosin_iib": (myosin_iib, 0.010),
    "desmoplakin": (desmoplakin, 0.020),
    "zo1": (zo1, 0.012),
    "granules": (granules, 0.070),
}
"""Density of each structure, and the refractive index that density 1 adds to what surrounds it. Thin structures
(membranes: 1.45 in 5 nm) add their average over the thickness drawn here."""


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


def channel_names(structure: str) -> tuple[str, ...]:
    """Channel names of a structure's files, in order."""
    return MEMBRANE_CHANNELS if structure == "membrane_caax_63x" else CHANNELS


def simulate_image(structure: str, index: int, config: SimulationConfig) -> NDArray[np.uint16]:
    """One multi-channel stack, (C, Z, Y, X), with the channels of `channel_names(structure)`."""
    check_structures((structure,))
    seed = (config.seed, zlib.crc32(structure.encode()), index)
    (nz, ny, nx), (dz, dy, dx) = config.shape_zyx, config.voxel_size_um
    sheet = grow_sheet(Grid((nz, ny, nx), (dz, dy, dx), seed))
    label = {"EGFP": structure, "H3342": "dna", "CMDRP": "membrane_caax_63x"}
    refraction, kept = refractive_index(sheet, set(label.values()))
    names = channel_names(structure)
    image = np.empty((len(names), *sheet.shape), np.uint16)
    for channel, name in reversed(list(enumerate(names))):
        rng = sheet.rng(name)
        if name == "Bright_100":
            image[channel] = expose(rng, transmit(sheet, refraction) * LIGHT_PHOTONS)
        elif name in label:
            stain = blur(kept[label[name]], sheet.voxel)
            gain = FLUORESCENCE_PHOTONS * rng.uniform(0.85, 1.15) / max(float(stain.max()), 1e-6)
            image[channel] = expose(rng, stain * gain + BACKGROUND_PHOTONS)
        else:
            bleed = (image[channel + 1] - np.minimum(image[channel + 1], 100)) >> 6
            image[channel] = 100 + bleed + rng.integers(0, 2, config.shape_zyx, np.uint8)
    return image


def check_structures(structures: tuple[str, ...]) -> None:
    """Refuse a structure that cannot be simulated."""
    for structure in structures:
        if structure not in PROTEINS:
            raise InputError(f"structure {structure!r} cannot be simulated; choose among {', '.join(sorted(PROTEINS))}")


def write_czi(path: Path, image: NDArray[np.uint16], structure: str, config: SimulationConfig) -> None:
    """Write a stack, (C, Z, Y, X), as CZI with zstd compression, channel names and voxel size."""
    size_z, size_y, size_x = (um * 1e-6 for um in config.voxel_size_um)  # CZI metadata is in metres
    with czi.create_czi(str(path), compression_options="zstd1:ExplicitLevel=1;PreProcess=HiLoByteUnpack") as file:
        for channel, stack in enumerate(image):
            for z, plane in enumerate(stack):
                file.write(plane, plane={"C": channel, "Z": z, "T": 0})
        file.write_metadata(
            path.stem,
            channel_names=dict(enumerate(channel_names(structure))),
            scale_x=size_x,
            scale_y=size_y,
            scale_z=size_z,
            custom_attributes={"simulated": True},
        )


def image_name(structure: str, index: int) -> str:
    """File name of an image."""
    return f"simulated_{structure}_{index:04d}.czi"


def simulate_file(task: tuple[Path, str, int, SimulationConfig]) -> Path:
    """Simulate one image into a CZI file in the task's folder."""
    folder, structure, index, config = task
    path = folder / image_name(structure, index)
    write_czi(path, simulate_image(structure, index, config), structure, config)
    return path


@contextmanager
def mapper(workers: int) -> Iterator[Callable[..., Iterator[Path]]]:
    """An ordered `map` over processes, or in this process for one worker."""
    if workers == 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield pool.imap


def simulate_collection(directory: Path, config: SimulationConfig, workers: int = 1) -> None:
    """Write a simulated collection: `{structure}.tar.gz` of CZI files, `lists/*.csv`, `collection.json`.

    Does nothing when the folder already holds the collection of the same config. The pixels do not depend on
    the number of workers; each worker needs about 90 bytes of memory a voxel.
    """
    check_structures(config.structures)
    record = directory / "collection.json"
    text = json.dumps({"simulated": True, **asdict(config)}, indent=2) + "\n"
    archives = [directory / f"{structure}.tar.gz" for structure in config.structures]
    if all(path.exists() for path in (record, *archives)) and record.read_text() == text:
        logger.info("%s already holds this simulated collection", directory)
        return
    directory.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    write_lists(directory / "lists", config)
    total = len(config.structures) * config.images
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix=".simulating-") as scratch,
        progress("Simulate images", total, "images") as advance,
        mapper(max(1, min(workers, total))) as map_files,
    ):
        tasks = [(Path(scratch), name, i, config) for name in config.structures for i in range(config.images)]
        files = map_files(simulate_file, tasks)
        for structure, archive_path in zip(config.structures, archives, strict=True):
            part = Path(scratch) / archive_path.name
            # the CZI files are compressed already
            with tarfile.open(part, "w:gz", compresslevel=1) as archive:
                for _ in range(config.images):
                    add_file(archive, structure, next(files))
                    advance(1)
            part.replace(archive_path)
    part = directory / ".collection.json"
    part.write_text(text)
    part.replace(record)
    logger.info("simulated %d images of %s in %s", total, ", ".join(config.structures), directory)


def add_file(archive: tarfile.TarFile, structure: str, path: Path) -> None:
    """Move a file into an archive, with nothing of this machine or moment in its entry."""
    entry = tarfile.TarInfo(f"{structure}/{path.name}")
    entry.size = path.stat().st_size
    with path.open("rb") as file:
        archive.addfile(entry, file)
    path.unlink()


def write_lists(folder: Path, config: SimulationConfig) -> None:
    """Write the image list of each structure and `dna.csv`, the images that can serve the DNA task."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ("path_czi", "channel_signal", "channel_target", "structureProteinName", "colony_position")

    def write(name: str, rows: list[tuple[str, int, int, str, str]]) -> None:
        part = folder / f".{name}.csv"
        with part.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])
        part.replace(folder / f"{name}.csv")

    candidates = []
    for structure in config.structures:
        names = channel_names(structure)
        paths = [f"data/{structure}/{image_name(structure, i)}" for i in range(config.images)]
        signal, target = names.index("Bright_100"), names.index("EGFP")
        write(structure, [(path, signal, target, PROTEINS[structure], "") for path in paths])
        if structure not in NOT_IN_DNA:
            candidates += [(path, signal, names.index("H3342"), PROTEINS[structure], "") for path in paths]
    write("dna", candidates)
