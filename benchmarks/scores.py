"""Measure what each score of a test image costs: python benchmarks/scores.py."""

import argparse
import time

import numpy as np
import torch
from scipy import ndimage

from ssp_model.config.schema import ScoringConfig
from ssp_model.evaluation.metrics import METRIC
from ssp_model.evaluation.panel import Pair
from ssp_model.evaluation.panels import MEASURES

VOXEL_UM = (0.29, 0.29, 0.29)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(50, 232, 344), help="size of the image (Z, Y, X)")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    target = ndimage.gaussian_filter(rng.normal(size=args.shape), 3)
    target = ((target - target.mean()) / target.std()).astype(np.float32)
    prediction = (target + 0.3 * rng.normal(size=args.shape)).astype(np.float32)
    p, t = (torch.from_numpy(image.astype(np.float64)) for image in (prediction, target))
    # the dearest way to segment
    scoring = ScoringConfig(panels=tuple(MEASURES), objects={"dna": "filled"})
    pair = Pair(prediction, target, VOXEL_UM, "dna")
    costs = {name: lambda metric=metric: metric.compute(p, t) for name, metric in METRIC.items()}
    costs |= {f"panel {name}": lambda measure=measure: measure(pair, scoring) for name, measure in MEASURES.items()}
    print(f"an image of {' x '.join(map(str, args.shape))} voxels, one core; the shortest of {args.repeats}")
    for name, compute in costs.items():
        compute()
        seconds = []
        for _ in range(args.repeats):
            start = time.process_time()
            compute()
            seconds.append(time.process_time() - start)
        print(f"{name:20s} {min(seconds):6.2f} s")


if __name__ == "__main__":
    main()
