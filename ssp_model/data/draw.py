"""Draw units into parts, so that each label is shared out as wanted: iterative stratification.

Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, ECML PKDD 2011, algorithm 1, with three
additions: a unit may count several times for a label (a plate with 40 images), larger units come first, and a part
that still lacks a label is served before its last units are gone.

Shapes: U units, L labels, P parts.
"""

from collections.abc import Sequence

import numpy as np

NUM_DRAWS = 20
"""Most draws to try, for the one that is nearest to the wanted shares."""


def draw(counts_UL: np.ndarray, shares_P: Sequence[float], seed: int) -> np.ndarray | None:
    """Draw each unit into one part.

    Parameters
    ----------
    counts_UL : ndarray
        How often each unit counts for each label, integers; each unit counts for one label at least.
    shares_P : sequence of float
        Share of each label that each part should have; their sum is 1.
    seed : int
        Random seed of the order of the units.

    Returns
    -------
    ndarray, (U,)
        Number of the part of each unit, or None if no draw gives each label to each part.
    """
    best, least = None, np.inf
    for attempt in range(NUM_DRAWS):
        order = np.random.RandomState([seed, attempt]).permutation(len(counts_UL))
        parts_U, missing_PL = _share_out(counts_UL[order], np.asarray(shares_P))
        given = [np.unique(parts_U[counts > 0]).size == len(shares_P) for counts in counts_UL[order].T]
        # no share can be nearer than the size of a unit
        off = np.abs(missing_PL) / counts_UL.max(axis=0)
        if all(given) and (off**2).sum() < least:
            least = (off**2).sum()
            best = np.empty_like(parts_U)
            best[order] = parts_U
            if off.max() < 1:
                break
    return best


def _share_out(counts_UL: np.ndarray, shares_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each unit to the part that misses most of its rarest label.

    Returns
    -------
    tuple of ndarray
        The part of each unit, (U,), and what each part misses of each label in the end, (P, L).
    """
    missing_PL = shares_P[:, None] * counts_UL.sum(axis=0)
    has_PL = np.zeros(missing_PL.shape, bool)
    parts_U = np.full(len(counts_UL), -1)
    num_left_L = (counts_UL > 0).sum(axis=0)
    while num_left_L.any():
        label = np.where(num_left_L > 0, num_left_L, np.inf).argmin()
        units = np.flatnonzero((parts_U < 0) & (counts_UL[:, label] > 0))
        for unit in units[np.argsort(-counts_UL[units, label], kind="stable")]:
            labels_L = counts_UL[unit] > 0
            # labels whose last units are only as many as the parts that still lack them
            urgent_L = labels_L & (num_left_L <= (~has_PL).sum(axis=0))
            num_served_P = (~has_PL & urgent_L).sum(axis=1)
            # ties go to the part that misses most of the label, then of all labels, then to the first
            part = np.lexsort((-missing_PL.sum(axis=1), -missing_PL[:, label], -num_served_P))[0]
            parts_U[unit] = part
            missing_PL[part] -= counts_UL[unit]
            has_PL[part] |= labels_L
            num_left_L -= labels_L
    return parts_U, missing_PL
