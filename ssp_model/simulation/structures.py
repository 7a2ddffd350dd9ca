"""Simulated structures: a density each, made from the geometry of the cells and from random fields."""

from collections.abc import Callable

import numpy as np

from ssp_model.simulation.geometry import CELL_HEIGHT_UM, Array, Points, Sheet, fade, ridge, stamp, step, trace


def dna(sheet: Sheet) -> Array:
    """Draw chromatin: mottled, denser along the nuclear envelope, almost absent from the nucleoli."""
    mottle = sheet.field("chromatin", 0.9).real
    chromatin = 1 + 0.35 * np.clip(mottle, -2, 2) + 0.45 * ridge(sheet.nucleus + 0.25, 0.25)
    return chromatin * step(-sheet.nucleus) * (1 - 0.85 * step(-sheet.nucleolus, 0.35))


def fibrillarin(sheet: Sheet) -> Array:
    """Draw the nucleoli, and a faint nucleoplasm."""
    return step(-sheet.nucleolus, 0.35) + 0.04 * step(-sheet.nucleus)


def lamin_b1(sheet: Sheet) -> Array:
    """Draw the nuclear envelope as a shell, and a faint nucleoplasm."""
    return ridge(sheet.nucleus, 0.13) + 0.06 * step(-sheet.nucleus)


def membrane_caax_63x(sheet: Sheet) -> Array:
    """Draw the plasma membrane: the lateral borders, and fainter the apical and basal surfaces, which lie flat."""
    lateral = ridge(sheet.border, 0.11) * step(sheet.surface)
    return np.maximum(lateral, 0.5 * ridge(sheet.surface, 0.14)) + 0.02 * step(sheet.surface)


def tom20(sheet: Sheet) -> Array:
    """Draw mitochondria: curvy tubes, crowded around the nucleus."""
    field = sheet.field("mitochondria", 2.0)
    tubes = ridge(np.abs(field), 0.38)
    crowd = fade(sheet.nucleus - 1.8, 1.8) * step(sheet.border - 0.5, 0.5)
    return tubes * crowd * sheet.cytoplasm * step(sheet.nucleus - 0.45, 0.4)


def sec61_beta(sheet: Sheet) -> Array:
    """Draw the endoplasmic reticulum: folded sheets in the cytoplasm, dense around the nucleus."""
    sheets = ridge(sheet.field("reticulum", 1.3).real, 0.35)
    near = 0.25 + 0.75 * fade(sheet.nucleus, 1.3)
    return (0.3 + 0.7 * sheets) * near * sheet.cytoplasm * step(sheet.border - 0.3, 0.4)


def st6gal1(sheet: Sheet) -> Array:
    """Draw the Golgi apparatus: a compact stack of ribbons beside and above each nucleus."""
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
    """Draw microtubules: fine fibres that start beside each nucleus, pass around it and reach the cell border."""
    rng = sheet.rng("microtubules")
    shape = (len(sheet.centres), 220)
    angle, level = rng.uniform(0, 2 * np.pi, shape), rng.uniform(-0.4, 0.42, shape)

    def around(radius_um: tuple[float, float], turn: float) -> Points:
        """Return points around the nuclei, (cells, fibres, 1, 3)."""
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
    """Draw actin: the cortex along all borders, the apical cap with its microvilli, and basal fibres."""
    field = sheet.field("actin", 1.5)
    cortex = ridge(sheet.border, 0.2) * step(sheet.surface)
    apical = sheet.level(0.9, 0.07) * step(sheet.surface + 0.2)
    basal = ridge(sheet.altitude - 0.25, 0.25) * ridge(field.real, 0.2)
    villi = 0.25 + 0.35 * np.clip(field.imag, 0, 2)
    return cortex + apical * villi + 0.6 * basal + 0.05 * sheet.cytoplasm


def myosin_iib(sheet: Sheet) -> Array:
    """Draw actomyosin bundles: pieces along the borders, most of them in the apical belt, and bundles at the base."""
    field = sheet.field("myosin", 2.2)
    pieces = ridge(sheet.border - 0.12, 0.14) * step(field.imag - 0.1, 0.8) * step(sheet.surface)
    belt = 0.35 + sheet.level(0.75, 0.1)
    basal = ridge(sheet.altitude - 0.35, 0.3) * ridge(field.real, 0.12) * step(sheet.surface)
    return pieces * belt + 0.7 * basal + 0.05 * sheet.cytoplasm


def desmoplakin(sheet: Sheet) -> Array:
    """Draw desmosomes: puncta on the borders between cells, most of them in the upper half."""
    rng = sheet.rng("desmosomes")
    likely = ridge(sheet.border, 0.08) * sheet.level(0.62, 0.2)
    chance = np.cumsum((likely * step(sheet.surface)).ravel(), dtype=np.float64)
    area = sheet.shape[1] * sheet.voxel[1] * sheet.shape[2] * sheet.voxel[2]
    chosen = np.searchsorted(chance, rng.uniform(0, chance[-1], round(0.22 * area)))
    voxels = np.column_stack(np.unravel_index(np.minimum(chosen, chance.size - 1), sheet.shape))
    return np.minimum(stamp(sheet, (voxels + 0.5) * np.array(sheet.voxel), 0.17), 1.5)


def zo1(sheet: Sheet) -> Array:
    """Draw tight junctions: a belt along the borders, just below the apical surface."""
    return ridge(sheet.border, 0.11) * sheet.level(0.72, 0.045)


def granules(sheet: Sheet) -> Array:
    """Draw lipid droplets and granules: small and dense, seen in the transmitted light only."""
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
"""The density of each structure, and the refractive index that a density of 1 adds to the surroundings.

Thin structures (membranes: 1.45 over 5 nm) add the average over the thickness that is drawn here.
"""
