"""What a training reads: batches of crops, from the dataset's file, a copy on scratch, or memory."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from ssp_model.config.schema import TrainConfig
from ssp_model.data.crops import EpochSampler, RandomCrops
from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.hardware import free_memory
from ssp_model.nn.repmode import STRIDE
from ssp_model.training.distributed import gather
from ssp_model.training.scratch import scratch_copy


def check_shares(samples: int, config: TrainConfig, processes: int) -> None:
    """Every process must get a sample of every batch, the last of an epoch included, and batch norm several voxels."""
    last = min(samples % config.batch_size or config.batch_size, samples)
    if last < processes:
        raise InputError(
            f"{samples} training samples in batches of {config.batch_size} leave a last batch of {last}, too small for "
            f"{processes} processes (train.devices x train.nodes); change train.batch_size or use fewer."
        )
    if last == 1 and max(config.patch) == STRIDE:
        raise InputError(
            f"{samples} training samples in batches of {config.batch_size} leave a last batch of one crop of "
            f"{' x '.join(map(str, config.patch))} voxels, a single one at the deepest level, which batch norm can't "
            "use; change train.batch_size or take a larger train.patch."
        )


def make_loader(
    fabric: Fabric, crops: Path, sampler: EpochSampler, config: TrainConfig, seed: int, workers: int
) -> DataLoader:
    """Batches of random crops; read by processes of their own where the CPU is free for it."""
    in_memory = config.cache == "memory"
    on_gpu = fabric.device.type == "cuda"
    # crops of images in memory take no time worth a process
    workers = workers if on_gpu and not in_memory else 0
    loader = DataLoader(
        RandomCrops(crops, config.patch, seed, in_memory),
        batch_sampler=sampler,
        num_workers=workers,
        # forked workers would share the threads and files of this process
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
        pin_memory=on_gpu,
    )
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)  # type: ignore[return-value]


@contextmanager
def crops_file(fabric: Fabric, train_set: Dataset, config: TrainConfig) -> Iterator[Path]:
    """The file that crops are read from: the dataset's, or a copy on scratch, one for all processes of a machine."""
    if config.cache == "memory":
        check_memory(train_set, config.devices)
    if config.cache != "scratch":
        yield train_set.path
        return
    with ExitStack() as stack:
        copy, problem = None, ""
        if fabric.local_rank == 0:
            try:
                copy = stack.enter_context(scratch_copy(train_set.path))
            except InputError as error:
                problem = str(error)
        # all hear of a problem, so that none waits for a machine that has given up
        told = gather(fabric, (fabric.node_rank, copy, problem))
        if problem := next((problem for *_, problem in told if problem), ""):
            raise InputError(problem)
        yield next(copy for node, copy, _ in told if copy and node == fabric.node_rank)


def check_memory(train_set: Dataset, processes: int) -> None:
    """Refuse to keep a dataset in memory that is too small for it, once a process."""
    wanted, free = train_set.image_bytes() * processes, free_memory()
    if wanted > 0.8 * free:
        raise InputError(
            f"train.cache is memory, but the images of {train_set.path} take {wanted / 2**30:.1f} GiB, once for each "
            f"of {processes} processes, and {free / 2**30:.1f} GiB are free; set train.cache to disk."
        )
