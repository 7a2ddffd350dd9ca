"""Crops a second from the dataset's file against images held in memory, memory of the readers, time to a first batch.

A dataset of random images is written first, 10 GB as a default. Crops come through the training's data loader with two
workers, in batches of 8; both sources are read in turn, so that a busy machine slows both alike. The images in memory
are tensors that the workers share; as many as fit in 2 GB stand for all.

    python benchmarks/crops.py
    python benchmarks/crops.py --gigabytes 1 --patch 16 64 64
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from tables import show
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ssp_model.data.crops import EpochSampler, RandomCrops
from ssp_model.data.dataset import Sample, Volume, write_dataset

SHAPE = (50, 232, 344)
"""Of an image of the collection at training resolution."""
FIRST_BATCH = """
import sys, time
from torch.utils.data import DataLoader
from ssp_model.data.crops import EpochSampler, RandomCrops
path, num_samples, *patch = sys.argv[1], *map(int, sys.argv[2:])
started = time.perf_counter()
next(iter(DataLoader(RandomCrops(path, patch, seed=0), batch_sampler=EpochSampler(num_samples, 0, 8))))
print(time.perf_counter() - started)
"""


class CropsInMemory(TorchDataset[tuple[Tensor, Tensor, int, int]]):
    """Crops of tensors in shared memory, drawn as those of the file are."""

    def __init__(self, volumes: Tensor, patch: tuple[int, ...]) -> None:
        self.volumes, self.patch = volumes, patch

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, int, int]:
        epoch, sample = key
        rng = np.random.default_rng([0, epoch, sample])
        starts = [int(rng.integers(have - want + 1)) for have, want in zip(SHAPE, self.patch, strict=True)]
        crop = tuple(slice(start, start + want) for start, want in zip(starts, self.patch, strict=True))
        flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
        pair = [self.volumes[(2 * sample + i) % len(self.volumes)][crop].flip(flips)[None] for i in (0, 1)]
        return pair[0], pair[1], 0, sample


def random_samples(num_samples: int) -> Iterator[Sample]:
    """Samples of random images, each with a signal of its own."""
    block = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    volume = Volume(block, channel=0, channel_name="", mean=0.0, std=1.0)
    size_um = np.full(3, 0.29)
    for number in range(num_samples):
        yield Sample(f"structure_{number % 12:02d}", f"{number}.czi", "", 0, size_um, size_um, volume, volume)


def crops_per_second(loader: DataLoader, sampler: EpochSampler, epoch: int) -> float:
    """Of an epoch, after its first batches."""
    sampler.epoch = epoch
    batches = iter(loader)
    for _ in range(4):
        next(batches)
    started, crops = time.perf_counter(), 0
    for x, *_ in batches:
        crops += len(x)
    return crops / (time.perf_counter() - started)


def memory_mib() -> tuple[float, float]:
    """Resident memory of the largest of this process and its workers, and of all, shared parts counted once."""
    tree = [process.memory_full_info() for process in (psutil.Process(), *psutil.Process().children(recursive=True))]
    return max(info.rss for info in tree) / 2**20, sum(info.pss for info in tree) / 2**20


def make_loader(dataset: TorchDataset, samples: int, workers: int) -> tuple[DataLoader, EpochSampler]:
    """A loader as the training on a GPU has."""
    sampler = EpochSampler(samples, 0, 8)
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    return loader, sampler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--patch", type=int, nargs=3, default=[32, 128, 128])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write the dataset; a temporary folder without")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "train.h5"
        samples = max(int(arguments.gigabytes * 1e9 / np.prod(SHAPE) / 4 / 2), 8)
        write_dataset(path, random_samples(samples), "train", {"preprocess": {}})
        loader, sampler = make_loader(RandomCrops(path, arguments.patch, seed=0), samples, arguments.workers)
        for epoch in range(1, arguments.epochs + 1):
            crops_per_second(loader, sampler, epoch)
        largest, together = memory_mib()
        del loader, sampler
        volumes = torch.empty(min(2 * samples, int(2e9 / 4 / np.prod(SHAPE))), *SHAPE).normal_().share_memory_()
        sources = {
            "tensors in memory": CropsInMemory(volumes, tuple(arguments.patch)),
            "the HDF5 file": RandomCrops(path, arguments.patch, seed=0),
        }
        loaders = {name: make_loader(dataset, samples, arguments.workers) for name, dataset in sources.items()}
        rates: dict[str, list[float]] = {name: [] for name in sources}
        for epoch in range(1, arguments.epochs + 1):
            for name, (loader, sampler) in loaders.items():
                rates[name].append(crops_per_second(loader, sampler, epoch))
        medians = {name: statistics.median(values) for name, values in rates.items()}
        rows = pd.DataFrame(
            [
                {"crops from": name, "a second": rate, "ratio": rate / medians["tensors in memory"]}
                for name, rate in medians.items()
            ]
        )
        size = path.stat().st_size / 1e9
        context = (
            f"crops of {'x'.join(map(str, arguments.patch))} from images of {'x'.join(map(str, SHAPE))}, dataset of "
            f"{size:.1f} GB, {arguments.workers} workers, {os.cpu_count()} cores"
        )
        show("crops", context, rows)
        command = [sys.executable, "-c", FIRST_BATCH, path, str(samples), *map(str, arguments.patch)]
        first_batch = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        rows = pd.DataFrame(
            [
                {"what": "resident memory of the largest process, MiB", "value": largest},
                {"what": "of main process and workers together, MiB", "value": together},
                {"what": "first batch, read by one process, s after imports", "value": first_batch},
            ]
        )
        show("crops_memory", context, rows)


if __name__ == "__main__":
    main()
