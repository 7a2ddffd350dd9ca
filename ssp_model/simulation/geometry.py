"""Geometry of the simulated cells: a packed sheet on a cover glass, as distances in um."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float32]
"""A float32 array, (Z, Y, X) if no other shape is given."""

Points = NDArray[np.float64]
"""Positions or lengths in um; the last axis is (Z, Y, X) or (Y, X)."""

CELL_UM, CELL_HEIGHT_UM = 12.6, 9.5
"""Mean width and height of a cell."""

NUCLEUS_RADII_UM = (3.1, 4.6, 4.6)
"""Mean radii of a nucleus, (Z, Y, X)."""


@dataclass(frozen=True)
class Grid:
    """The voxels of one image, and the seed of its random numbers."""

    shape: tuple[int, int, int]
    """Number of voxels, (Z, Y, X)."""
    voxel: tuple[float, float, float]
    """Size of a voxel in um, (Z, Y, X)."""
    seed: tuple[int, ...]

    @property
    def extent(self) -> Points:
        """Size of the field of view in um, (3,)."""
        return np.array(self.shape) * self.voxel

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a random generator for one purpose, so that no structure changes the numbers of another."""
        return np.random.default_rng([*self.seed, zlib.crc32(purpose.encode())])

    def field(self, purpose: str, spacing_um: float, *, flat: bool = False) -> NDArray[np.complex64]:
        """Return a periodic Gaussian random field of unit variance, (Z, Y, X), or (1, Y, X) if `flat`.

        The real and the imaginary part are independent fields, made by one transform. Both are zero along curvy
        tubes; one of them is zero on folded sheets.
        """
        shape, centre = (1, *self.shape[1:]) if flat else self.shape, 1 / spacing_um
        frequencies = [np.fft.fftfreq(n, d).astype(np.float32) for n, d in zip(shape, self.voxel, strict=True)]
        kept = [np.flatnonzero(np.abs(k) <= 1.8 * centre) for k in frequencies]
        radius = np.sqrt(sum(k**2 for k in np.ix_(*(k[i] for k, i in zip(frequencies, kept, strict=True)))))
        amplitude = np.exp(-(((radius - 0.8 * centre) / (0.45 * centre)) ** 2)) * (radius > 0)
        noise = self.rng(purpose).standard_normal((2, *radius.shape), dtype=np.float32)
        block = (noise[0] + 1j * noise[1]) * (amplitude / max(float(np.linalg.norm(amplitude)), 1e-6))
        for axis, n in enumerate(shape):  # transform the kept frequencies only
            padded = np.zeros((*block.shape[:axis], n, *block.shape[axis + 1 :]), np.complex64)
            padded[(slice(None),) * axis + (kept[axis],)] = block
            block = scipy.fft.ifft(padded, axis=axis, norm="forward", overwrite_x=True)
        return block

    def copies(self, centre_yx: Points, reach_um: float) -> Iterator[Points]:
        """Yield a position, (2,), and its periodic copies, if they are within reach of the field of view."""
        side = self.extent[1:]
        for shift in np.ndindex(3, 3):
            copy = centre_yx + side * (np.array(shift) - 1)
            if (copy > -reach_um).all() and (copy < side + reach_um).all():
                yield copy

    def window(self, axis: int, centre: float, reach_um: float) -> tuple[slice, Array]:
        """Return the voxels within reach of a position along one axis, and their signed distances from it in um."""
        first, last = (int((centre + reach) / self.voxel[axis]) for reach in (-reach_um, reach_um))
        start, stop = np.clip((first, last + 1), 0, self.shape[axis])
        distance = (np.arange(start, stop) + 0.5) * self.voxel[axis] - centre
        return slice(start, stop), distance.astype(np.float32)


@dataclass(frozen=True)
class Sheet(Grid):
    """The cells of one image: distances in um, (Z, Y, X), and the positions of the cells."""

    height: float
    """Height of the cells."""
    altitude: Array
    """Height above the cover glass, (Z, 1, 1)."""
    border: Array
    """Distance to the nearest border between two cells."""
    surface: Array
    """Distance to the apical or basal surface, positive within the cells."""
    nucleus: Array
    """Distance to the nearest nuclear envelope, negative within a nucleus."""
    nucleolus: Array
    """Distance to the surface of the nearest nucleolus, negative within it."""
    centres: Points
    """Centres of the nuclei, (cells, 3)."""

    @property
    def cytoplasm(self) -> Array:
        """The cytoplasm: 1 within a cell and outside its nucleus, else 0, with soft edges."""
        return step(self.surface - 0.1) * step(self.nucleus - 0.1)

    def level(self, share: float, sigma_share: float) -> Array:
        """Return a soft layer at a share of the cells' height, (Z, 1, 1)."""
        return ridge(self.altitude - share * self.height, max(sigma_share * self.height, 0.15))


def step(distance: Array, width_um: float = 0.25) -> Array:
    """Return 1 where the distance is positive and 0 where it is negative, with a linear ramp of `width_um`."""
    return np.clip(distance * (1 / width_um) + 0.5, 0, 1)


def ridge(distance: Array, sigma_um: float) -> Array:
    """Return a Gaussian profile of the distance, with a peak of 1 at distance 0."""
    return np.exp(np.square(distance) * (-0.5 / sigma_um**2))


def fade(distance: Array, length_um: float) -> Array:
    """Return 1 where the distance is negative, and an exponential decay where it is positive."""
    return np.exp(np.maximum(distance, 0) * (-1 / length_um))


def rounded_maximum(a: Array, b: Array, width_um: float) -> Array:
    """Return the larger of two distances, rounded over `width_um` where they are equal, to avoid sharp edges."""
    share = np.clip((a - b) * (0.5 / width_um) + 0.5, 0, 1)
    return b + (a - b) * share + width_um * share * (1 - share)


def grow_sheet(grid: Grid) -> Sheet:
    """Pack cells into the field of view, and give each a nucleus with nucleoli."""
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
    # deform the ellipsoids, and keep them within the borders and surfaces of their cells
    wrinkles = grid.field("wrinkles", 1.8)
    nucleus += 0.35 * warp.imag + 0.06 * wrinkles.imag
    nucleus = rounded_maximum(nucleus, 0.7 - border, 1.5)
    nucleus = rounded_maximum(nucleus, 0.6 * squash - surface, 0.6 * squash)
    nucleolus += 0.13 * wrinkles.real
    np.maximum(nucleolus, nucleus + 0.35, out=nucleolus)
    return Sheet(grid.shape, grid.voxel, grid.seed, height, altitude, border, surface, nucleus, nucleolus, centres)


def scatter_cells(rng: np.random.Generator, side_yx: Points) -> Points:
    """Return positions of packed cells, (cells, 2): random ones, then moved by Lloyd's algorithm."""
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
    """Return the distance to the border between the two nearest cells (a warped Voronoi diagram), (Z, Y, X).

    If a < b are the squared distances to two centres that are L apart, the distance is (b - a) / 2L. Planes are
    computed one by one, which keeps the data in the processor's cache.
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
    """Return signed distances to the nuclei (ellipsoids of about 9 x 9 x 6 um) and to their two to five nucleoli."""
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
    """Lower `distance`, in place, to the signed distance from an ellipsoid that is turned at random about Z.

    The distance is k0 (k0 - 1) / k1 with k0 = |p / r| and k1 = |p / r^2|: exact on the surface, first order near it.
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
    """Draw a Gaussian blob with a peak of 1 at each of the points, (points, 3); periodic in Y and X."""
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
    """Count the points, (points, 3), in each voxel; periodic in Y and X."""
    nz, ny, nx = grid.shape
    z, y, x = np.floor(points / grid.voxel).astype(np.int64).T
    flat = ((z * ny + y % ny) * nx + x % nx)[(z >= 0) & (z < nz)]
    return np.bincount(flat, minlength=nz * ny * nx).astype(np.float32).reshape(grid.shape)
