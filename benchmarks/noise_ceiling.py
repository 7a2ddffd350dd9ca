"""How near the estimated ceiling of R2 is to the true one, on simulated targets whose noise is known.

python benchmarks/noise_ceiling.py                       # two images of 32x256x256 of each structure
python benchmarks/noise_ceiling.py --images 1 --every 2  # every second plane only, 0.58 um apart

Each image is exposed as the simulated collection is, and with a fifteenth of the light. The true ceiling is the R2 of
the target without noise, standardised and resized like the noisy one. Estimates, of the noisy target alone:

- ours: differences of sixth order along Z (`evaluation/noise.py`)
- neighbours: half the mean squared difference of neighbouring planes
- autocovariance: of lag 0, less its extrapolation from the lags of one and two planes along Z by a parabola
- wavelet: median of the finest diagonal db2 coefficients, as scikit-image's `estimate_sigma` takes it, without borders
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
from tables import show

from ssp_model.data.preprocess import Statistics, resize_planes, standardise, statistics
from ssp_model.evaluation.noise import highest_r2
from ssp_model.simulation.optics import BACKGROUND_PHOTONS, CAMERA_OFFSET, COUNTS_PER_PHOTON, expected_counts, expose
from ssp_model.simulation.simulate import PROTEINS, SimulationConfig, simulate_with_truth

SCALE = (1, 0.37241, 0.37241)

DIMMER = {"as simulated": 1, "a 15th of the light": 15}

DB2 = (-0.48296291314469025, 0.836516303737469, -0.22414386804185735, -0.12940952255092145)
"""High-pass filter of the wavelet db2."""

LARGEST = (50, 232, 344)
"""A large image of the Allen collection at training resolution."""


def neighbours(target: np.ndarray) -> float:
    """Estimate the noise by the difference of neighbouring planes."""
    return float(np.square(np.diff(target, axis=0)).mean(dtype=np.float64) / 2)


def autocovariance(target: np.ndarray) -> float:
    """Estimate the noise by what the autocovariance has at lag 0 beyond its course at other lags."""
    centred = target - target.mean(dtype=np.float64)
    zero, one, two = (float((centred[: len(target) - lag] * centred[lag:]).mean()) for lag in range(3))
    return zero - (one + (one - two) / 3)


def wavelet(target: np.ndarray) -> float:
    """Estimate the noise by the median of the finest details along all axes."""
    details = target
    for axis in range(3):
        size = details.shape[axis] - len(DB2) + 1
        details = sum(
            weight * np.take(details, range(first, first + size, 2), axis) for first, weight in enumerate(DB2)
        )
    return float((np.median(np.abs(details)) / 0.6744897501960817) ** 2)


OTHERS = {"neighbours": neighbours, "autocovariance": autocovariance, "wavelet": wavelet}


def resized(raw: np.ndarray, removed: Statistics) -> np.ndarray:
    """Bring a channel to training resolution."""
    return np.stack(list(resize_planes(standardise(raw, removed), SCALE)))


def targets(num_images: int, shape: tuple[int, int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield structure and counts without noise, (Z, Y, X)."""
    for structure in sorted(PROTEINS):
        config = SimulationConfig(structures=(structure,), images=num_images, shape_zyx=shape, noise_free=True)
        for index in range(num_images):
            _, truth = simulate_with_truth(structure, index, config)
            yield structure, truth["EGFP"]
            if structure == "tom20":
                yield "dna", truth["H3342"]


def measure(counts: np.ndarray, dimmer: float) -> dict[str, float]:
    """Expose a target and return the true ceiling of R2, the true one of Pearson r, and the estimates of the first."""
    light = (counts - CAMERA_OFFSET) / COUNTS_PER_PHOTON - BACKGROUND_PHOTONS
    photons = (light / dimmer + BACKGROUND_PHOTONS).astype(np.float32)
    raw = expose(np.random.default_rng(0), photons)
    removed = statistics(raw, "target")
    noisy, clean = resized(raw, removed), resized(expected_counts(photons), removed)
    variance = float(noisy.var(dtype=np.float64))
    return {
        "true": 1 - float(np.square(noisy - clean).mean(dtype=np.float64)) / variance,
        "ours": highest_r2(noisy),
        **{name: 1 - estimate(noisy) / variance for name, estimate in OTHERS.items()},
        "true r": float(np.corrcoef(noisy.ravel(), clean.ravel())[0, 1]),
        "our r": highest_r2(noisy) ** 0.5,
    }


def main() -> None:
    """Print the true and the estimated ceilings, and the largest error of each estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2, help="number of images of each structure")
    parser.add_argument("--shape", type=int, nargs=3, default=[32, 256, 256], help="raw voxels, Z Y X")
    parser.add_argument("--every", type=int, default=1, help="keep only every so many planes")
    arguments = parser.parse_args()
    rows = [
        {"light": light, "structure": structure, **measure(counts[:: arguments.every], dimmer)}
        for structure, counts in targets(arguments.images, tuple(arguments.shape))
        for light, dimmer in DIMMER.items()
    ]
    images = pd.DataFrame(rows)
    errors = {name: (images[name] - images.true).abs().max() for name in ("ours", *OTHERS)}
    means = images.groupby(["light", "structure"], sort=False).mean().reset_index().sort_values("light", kind="stable")
    means.loc[len(means)] = {"light": "largest error", "structure": "of an image", **errors}
    large = np.random.default_rng(0).normal(size=LARGEST).astype(np.float32)
    started = time.perf_counter()
    highest_r2(large)
    seconds = time.perf_counter() - started
    size = "x".join(map(str, arguments.shape))
    show(
        "noise_ceiling",
        f"highest possible R2; {arguments.images} images of {size} of each structure, planes "
        f"{0.29 * arguments.every:.2f} um apart; ours takes {seconds:.2f} s for {'x'.join(map(str, LARGEST))}",
        means,
    )


if __name__ == "__main__":
    main()
