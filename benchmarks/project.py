"""What a large job will need, computed from its size: nothing is run.

Work of the network is counted exactly; what a GPU sustains, the network and the cores are assumptions, to be set.

python benchmarks/project.py
python benchmarks/project.py --tflops 30 --cores 64
"""

import argparse
import math

import pandas as pd
import torch
from tables import show
from torch.utils.flop_counter import FlopCounterMode

from ssp_model.nn.methods.repmode import RepMode
from ssp_model.prediction.sliding_window import Windows

PATCH, BATCH, WIDTH, EPOCHS, VALIDATIONS = (32, 128, 128), 8, 32, 1000, 50
RAW_MB = 7 * 50 * 624 * 924 * 2 / 1e6
"""A raw image: seven channels, 16 bits, as if not compressed."""
SHAPE = (50, 232, 344)
VOLUME_MB = math.prod(SHAPE) * 4 / 1e6
"""One channel of a converted image."""
CONVERT_CORE_S = 2.4
"""To convert an image of three channels: twice the time on two cores, `benchmarks/convert.py`."""


def window_tflop() -> float:
    """Work of one window through the network as it is merged for one structure."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        RepMode(num_tasks=1, width=WIDTH).eval().specialise(0)(torch.empty(1, 1, *PATCH))
    return counter.get_total_flops() / 1e12


def windows(overlap: float) -> int:
    """Windows of an image."""
    return math.prod(len(starts) for starts in Windows(PATCH, overlap).starts(SHAPE))


def training(images: int, train: int, val: int, test: int, arguments: argparse.Namespace) -> dict[str, float]:
    """The whole way from archives to scores."""
    window = window_tflop()
    # a step forwards, and backwards by twice as much
    step = 3 * BATCH * window
    train_pflop = EPOCHS * math.ceil(train / BATCH) * step / 1e3
    val_pflop = VALIDATIONS * val * windows(0.5) * window / 1e3
    test_pflop = test * windows(0.5) * window / 1e3
    per_hour = arguments.tflops / 1e3 * 3600
    return {
        "download h": images * RAW_MB / arguments.network_mb_s / 3600,
        "convert h": images * CONVERT_CORE_S / arguments.cores / 3600,
        "train GPU h": train_pflop / per_hour,
        "validate GPU h": val_pflop / per_hour,
        "test GPU h": test_pflop / per_hour,
        "raw TB": images * RAW_MB / 1e6,
        "volumes TB": images * 3 * VOLUME_MB / 1e6,
        "datasets TB": (images + train + val + test) * VOLUME_MB / 1e6,
    }


def prediction(images: int, overlap: float, arguments: argparse.Namespace) -> dict[str, float]:
    """Predicting one structure in many images."""
    pflop = images * windows(overlap) * window_tflop() / 1e3
    return {
        "overlap": overlap,
        "windows an image": windows(overlap),
        "GPU h": pflop / (arguments.tflops / 1e3 * 3600),
        "input TB": images * RAW_MB / 7 / 1e6,
        "output TB": images * VOLUME_MB / 1e6,
    }


def main() -> None:
    """Print the jobs of the docs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflops", type=float, default=100, help="that a GPU sustains in these convolutions")
    parser.add_argument("--cores", type=int, default=32, help="that convert")
    parser.add_argument("--network-mb-s", type=float, default=50)
    arguments = parser.parse_args()
    # 80 images a structure, of which 54, 6 and 20 train, validate and test; so for DNA
    jobs = {"Allen, 12 structures": (851, 628, 70, 233), "100 structures": (8000, 101 * 54, 101 * 6, 101 * 20)}
    rows = [{"job": job, **training(*sizes, arguments)} for job, sizes in jobs.items()]
    assumed = f"{arguments.tflops:g} TFLOP/s a GPU, {arguments.cores} cores, {arguments.network_mb_s:g} MB/s"
    show("project_training", f"one training; {assumed}", pd.DataFrame(rows).set_index("job").T.reset_index())
    million = pd.DataFrame([prediction(1_000_000, overlap, arguments) for overlap in (0, 0.25, 0.5)])
    show("project_prediction", f"a million images, one structure; {assumed}", million)


if __name__ == "__main__":
    main()
