"""Crops a second from the dataset's file against images held in memory, memory of the readers, time to a first step.

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
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import psutil
import torch
from tables import show
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ssp_model.data.crops import EpochSampler, RandomCrops

SHAPE = (50, 232, 344)
"""Of an image of the collection at training resolution."""
FIRST_STEP = """
import sys, time, torch, ssp_model.training.training.training.train
from pathlib import Path
from lightning_fabric import Fabric
from ssp_model.config.read import read_config
from ssp_model.data.dataset import Dataset
from ssp_model.training.train import Training, TrainFiles
path, folder, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
width, patch = (32, (32, 128, 128)) if torch.cuda.is_available() else (16, (16, 64, 64))
started = time.perf_counter()
torch.set_num_threads(threads)
config = read_config(["config.yaml"])
fabric = Fabric(accelerator="auto", devices=1, precision=ssp_model.hardware.choose_precision("auto"))
files = TrainFiles(path, path, *(folder / name for name in ("m", "h", "e", "state", "wandb")))
with Dataset(path) as train_set, Dataset(path) as val_set:
    model = config.model.model_copy(update={"width": width})
    train = config.train.model_copy(update={"patch": patch})
    training = Training(fabric, files, train_set, val_set, model, train, config.predict, 0, threads)
    training.resume()
    x, y, task, sample = next(iter(training.loader))
    ready = time.perf_counter() - started
    training.learner.step(x, y, task, len(x)).tolist()
print(ready, time.perf_counter() - started)
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


def write_dataset(path: Path, gigabytes: float) -> int:
    """A dataset of as many random samples as make up its size."""
    rng = np.random.default_rng(0)
    block = rng.normal(size=SHAPE).astype(np.float32)
    samples = max(int(gigabytes * 1e9 / block.nbytes / 2), 8)
    with h5py.File(path, "w") as file:
        for number in range(samples):
            for kind in ("signals", "targets"):
                file.create_dataset(f"{kind}/{number:05d}", data=block)
        tasks = [f"structure_{number % 12:02d}" for number in range(samples)]
        text = h5py.string_dtype()
        file["index/task"] = np.array(tasks, dtype=object).astype(text)
        file["index/path_czi"] = np.array([f"{n}.czi" for n in range(samples)], dtype=object).astype(text)
        for column in ("signal", "target"):
            file[f"index/{column}"] = np.arange(samples)
        config = '{"preprocess": {}}'
        file.attrs.update(tasks=sorted(set(tasks)), voxel_size_um=[0.29, 0.29, 0.29], config=config)
    return samples


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
        samples = write_dataset(path, arguments.gigabytes)
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
        command = [sys.executable, "-c", FIRST_STEP, path, folder, str(os.cpu_count())]
        root = Path(__file__).parents[1]
        told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout
        ready, step = map(float, told.split())
        rows = pd.DataFrame(
            [
                {"what": "resident memory of the largest process, MiB", "value": largest},
                {"what": "of main process and workers together, MiB", "value": together},
                {"what": "first batch ready, s after imports", "value": ready},
                {"what": "first step done (as in train_step.py), s after imports", "value": step},
            ]
        )
        show("first_step", context, rows)


if __name__ == "__main__":
    main()
