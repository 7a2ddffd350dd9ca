"""Random crops for training, straight from the dataset's file (RepMode, section 4.1).

One crop an image an epoch, each axis flipped with probability one half. A crop depends on the seed, the epoch and the
sample alone, so that it is the same for any number of workers. An image smaller than the patch is padded by mirroring,
signal and target alike; the same is done in prediction.
"""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from ssp_model.data.dataset import Dataset

Crop = tuple[slice, slice, slice]


def pad_to(image: np.ndarray, size: Sequence[int]) -> tuple[np.ndarray, Crop]:
    """Mirror an image about its edges, evenly at both ends, until it is as large as `size`.

    Parameters
    ----------
    image : ndarray
        (Z, Y, X).
    size : sequence of int
        The least size wanted, Z, Y, X.

    Returns
    -------
    tuple
        The image, and where the original lies in it.
    """
    lacking = [max(wanted - have, 0) for wanted, have in zip(size, image.shape, strict=True)]
    before = [lack // 2 for lack in lacking]
    inner = tuple(slice(start, start + have) for start, have in zip(before, image.shape, strict=True))
    if any(lacking):
        image = np.pad(image, [(b, lack - b) for b, lack in zip(before, lacking, strict=True)], mode="symmetric")
    return image, inner  # type: ignore[return-value]


class StoredImage:
    """An image in a dataset's file, of which pieces are read about as fast as from memory.

    An image that lies in the file in one piece is mapped into memory for as long as a read takes. HDF5, asked for many
    short rows, takes several times longer; it reads images stored otherwise (in chunks, or compressed).
    """

    def __init__(self, stored: h5py.Dataset, *, in_memory: bool = False) -> None:
        self.shape, self.dtype = stored.shape, stored.dtype
        self.offset = None if in_memory else stored.id.get_offset()
        self.file: int = stored.file.id.get_vfd_handle()
        self.voxels: h5py.Dataset | np.ndarray | None = None
        if self.offset is None:
            self.voxels = stored[()] if in_memory else stored

    def read(self, crop: Crop, flips: tuple[int, ...] = ()) -> Tensor:
        """Return a piece, flipped along some axes, in its own memory."""
        if self.voxels is not None:
            return torch.from_numpy(self.voxels[crop]).flip(flips)
        _, height, width = self.shape
        planes = range(*crop[0].indices(self.shape[0]))
        plane_bytes = height * width * self.dtype.itemsize
        start = self.offset + planes.start * plane_bytes
        before = start % mmap.ALLOCATIONGRANULARITY
        length = before + len(planes) * plane_bytes
        # a private copy only in name, as nothing is written; torch takes no memory that can't be
        with mmap.mmap(self.file, length, offset=start - before, access=mmap.ACCESS_COPY) as mapped:
            whole = np.ndarray((len(planes), height, width), self.dtype, mapped, before)
            piece = torch.from_numpy(whole[:, crop[1], crop[2]]).flip(flips)
            del whole
        return piece


class RandomCrops(TorchDataset[tuple[Tensor, Tensor, int, int]]):
    """Crops of a dataset's samples; an item is named by (epoch, sample).

    Parameters
    ----------
    path : path
        The dataset's file. It is opened by the process that reads first, so workers never share a handle.
    patch : sequence of int
        Size of the crops, Z, Y, X.
    seed : int
    structures : sequence of str, optional
        Read only the samples of these structures.
    tasks : sequence of str, optional
        Structures in the order of their tasks; without, those of the dataset.
    in_memory : bool
        Keep images in memory once they are read.
    """

    def __init__(
        self,
        path: str | Path,
        patch: Sequence[int],
        seed: int,
        *,
        structures: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        in_memory: bool = False,
    ) -> None:
        self.path, self.patch, self.seed, self.in_memory = Path(path), tuple(patch), seed, in_memory
        self.structures, self.tasks = structures, tasks
        self._dataset: Dataset | None = None
        self._images: dict[int, tuple[StoredImage, StoredImage]] = {}
        self._tasks: dict[int, int] = {}

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, int, int]:
        """Signal and target, each (1, Z, Y, X), float32, the task's number and the sample's."""
        if self._dataset is None:
            self._open()
        epoch, sample = key
        rng = np.random.default_rng([self.seed, epoch, sample])
        signal, target = self._images[sample]
        starts = [
            int(rng.integers(max(have - want, 0) + 1)) for have, want in zip(signal.shape, self.patch, strict=True)
        ]
        z, y, x = (slice(start, start + want) for start, want in zip(starts, self.patch, strict=True))
        flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
        pair = (self._read(image, (z, y, x), flips) for image in (signal, target))
        return *pair, self._tasks[sample], sample  # type: ignore[return-value]

    def _open(self) -> None:
        # all at once: what HDF5 keeps of each image would else lie scattered between crops, and the heap would grow
        dataset = self._dataset = Dataset(self.path, self.structures)
        if self.tasks is not None:
            dataset.number_tasks(self.tasks)
        self._tasks = dataset.index.task_number.to_dict()
        # an image may serve several samples
        signals = {
            number: StoredImage(dataset.signal(sample), in_memory=self.in_memory)
            for sample, number in dataset.index.signal.drop_duplicates().items()
        }
        self._images = {
            sample: (signals[number], StoredImage(dataset.target(sample), in_memory=self.in_memory))
            for sample, number in dataset.index.signal.items()
        }

    def _read(self, image: StoredImage, crop: Crop, flips: tuple[int, ...]) -> Tensor:
        if any(have < want for have, want in zip(image.shape, self.patch, strict=True)):
            padded, _ = pad_to(image.read(crop).numpy(), self.patch)
            return torch.from_numpy(padded).flip(flips)[None]
        return image.read(crop, flips)[None]


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Batches of an epoch: all samples once, in an order that depends on seed and epoch alone.

    Parameters
    ----------
    samples : int or sequence of int
        Number of samples, or their numbers.
    seed, batch_size : int
    rank, processes : int
        Of several processes, each takes its slice of every batch.

    Attributes
    ----------
    epoch, first_batch : int
        Which epoch, and from which of its batches on; set them before iterating.
    """

    def __init__(
        self, samples: int | Sequence[int], seed: int, batch_size: int, rank: int = 0, processes: int = 1
    ) -> None:
        self.samples, self.seed, self.batch_size = samples, seed, batch_size
        self.rank, self.processes = rank, processes
        self.epoch, self.first_batch = 1, 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.samples)
        for start in range(self.first_batch * self.batch_size, len(order), self.batch_size):
            mine = np.array_split(order[start : start + self.batch_size], self.processes)[self.rank]
            yield [(self.epoch, int(sample)) for sample in mine]
