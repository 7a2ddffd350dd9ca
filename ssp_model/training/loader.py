"""What a training reads: batches of crops from the dataset file, from a copy on scratch, or from memory."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from ssp_model.config.schema import TrainConfig
from ssp_model.data.crops import EpochSampler, RandomCrops
from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.hardware import free_memory
from ssp_model.nn.unet import STRIDE
from ssp_model.training.distributed import Placement, gather
from ssp_model.training.progress import Epoch
from ssp_model.training.scratch import scratch_copy


class Batch(NamedTuple):
    """Crops of a batch, or the share of this process.

    Attributes
    ----------
    x, y : Tensor
        Signal and target, (N, 1, D, H, W), float32.
    task, sample : Tensor
        Task of each crop, and number of its sample in the dataset, (N,), int64.
    total : int
        Number of crops in the whole batch, over all processes.
    """

    x: Tensor
    y: Tensor
    task: Tensor
    sample: Tensor
    total: int


class Crops:
    """The batches of each epoch: one random crop of each sample.

    Parameters
    ----------
    fabric : Fabric
        Device and processes.
    path : path
        Dataset file, or a copy of it.
    train_set : Dataset
        The same dataset, open: it says which samples to read.
    tasks : sequence of str
        Structures in the order of their tasks.
    config : TrainConfig
    placement : Placement
    seed : int
        Random seed for crops and their order.
    """

    def __init__(
        self,
        fabric: Fabric,
        path: Path,
        train_set: Dataset,
        *,
        tasks: Sequence[str],
        config: TrainConfig,
        placement: Placement,
        seed: int,
    ) -> None:
        self.num_samples, self.batch_size = len(train_set), config.batch_size
        samples = train_set.index.index.tolist()
        self.sampler = EpochSampler(samples, seed, config.batch_size, fabric.global_rank, fabric.world_size)
        in_memory = placement.cache == "memory"
        on_gpu = fabric.device.type == "cuda"
        # with a GPU the CPU is free, so other processes read the crops; from memory, reading takes too little time
        num_workers = placement.threads if on_gpu and not in_memory else 0
        loader = DataLoader(
            RandomCrops(path, config.patch, seed, structures=train_set.tasks, tasks=tasks, in_memory=in_memory),
            batch_sampler=self.sampler,
            num_workers=num_workers,
            # forked workers would share threads and open files with this process
            multiprocessing_context="spawn" if num_workers else None,
            persistent_workers=num_workers > 0,
            pin_memory=on_gpu,
        )
        self.loader = fabric.setup_dataloaders(loader, use_distributed_sampler=False)

    def batches(self, epoch: Epoch) -> Iterator[Batch]:
        """Yield the batches of an epoch that are not done yet."""
        self.sampler.epoch, self.sampler.first_batch = epoch.number, epoch.num_batches
        for number, (x, y, task, sample) in enumerate(self.loader, start=epoch.num_batches):
            yield Batch(x, y, task, sample, min(self.batch_size, self.num_samples - number * self.batch_size))


@contextmanager
def open_crops(
    fabric: Fabric,
    train_set: Dataset,
    config: TrainConfig,
    *,
    tasks: Sequence[str],
    placement: Placement,
    seed: int,
) -> Iterator[Crops]:
    """Open the crops of a dataset's samples, in the place that the placement names.

    Raises
    ------
    InputError
        The dataset is too small for so many processes, or does not fit in memory or on scratch.
    """
    if placement.cache == "memory":
        check_memory(train_set, placement.devices)
    with ExitStack() as stack:
        path = scratch_path(fabric, train_set.path, stack) if placement.cache == "scratch" else train_set.path
        yield Crops(fabric, path, train_set, tasks=tasks, config=config, placement=placement, seed=seed)


def scratch_path(fabric: Fabric, path: Path, stack: ExitStack) -> Path:
    """Copy a file to scratch, once for all processes of a machine, until the stack is closed."""
    copy, problem = None, ""
    if fabric.local_rank == 0:
        try:
            copy = stack.enter_context(scratch_copy(path))
        except InputError as error:
            problem = str(error)
    # all processes learn of a problem, so none waits for a machine that has given up
    told = gather(fabric, (fabric.node_rank, copy, problem))
    if problem := next((problem for *_, problem in told if problem), ""):
        raise InputError(problem)
    return next(copy for node, copy, _ in told if copy and node == fabric.node_rank)


def check_batches(num_samples: int, config: TrainConfig, num_processes: int, *, apart: bool = False) -> None:
    """Refuse a last batch that is too small for the number of processes, or for batch norm.

    Parameters
    ----------
    num_samples : int
    config : TrainConfig
    num_processes : int
    apart : bool
        Whether the crops of each structure go through a network of their own. A batch may have a single one of these.

    Raises
    ------
    InputError
    """
    last = min(num_samples % config.batch_size or config.batch_size, num_samples)
    if last < num_processes:
        raise InputError(
            f"{num_samples} training samples in batches of {config.batch_size} leave a last batch of {last}, too small "
            f"for {num_processes} processes (resources tasks_per_node x nodes of train_model); change train.batch_size "
            "or use fewer processes."
        )
    if apart and max(config.patch) == STRIDE:
        raise InputError(
            f"Crops of {' x '.join(map(str, config.patch))} voxels are a single voxel at the deepest level, too few "
            "for the batch norm of a network that may see one crop of a batch; take a larger train.patch."
        )
    if last == 1 and max(config.patch) == STRIDE:
        raise InputError(
            f"{num_samples} training samples in batches of {config.batch_size} leave a last batch of one crop of "
            f"{' x '.join(map(str, config.patch))} voxels, which is a single voxel at the deepest level, too few for "
            "batch norm; change train.batch_size or take a larger train.patch."
        )


def check_memory(train_set: Dataset, num_processes: int) -> None:
    """Refuse to keep a dataset in memory if it does not fit, once for each process.

    Raises
    ------
    InputError
    """
    wanted, free = train_set.image_bytes() * num_processes, free_memory()
    if wanted > 0.8 * free:
        raise InputError(
            f"The resource cache of train_model is memory, but the images of {train_set.path} take "
            f"{wanted / 2**30:.1f} GiB, once for each of {num_processes} processes, and {free / 2**30:.1f} GiB are "
            "free; set cache to disk."
        )
