"""Training of RepMode on partially labelled images (section 4.1), by Lightning Fabric.

Each step takes a batch of random crops, each labelled for one structure; the network predicts that structure. Now and
then the whole validation images are predicted, and the model of lowest mean squared error over them is kept.
"""

import logging
import math
import resource
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader

from ssp_model.checkpoint import ModelInfo, save_model
from ssp_model.config import ModelConfig, PredictConfig, TrainConfig
from ssp_model.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.files import replacing, write_table
from ssp_model.hardware import choose_precision, device_name
from ssp_model.log import duration
from ssp_model.metrics import score
from ssp_model.nn import RepMode
from ssp_model.patches import EpochSampler, RandomCrops
from ssp_model.predict import predict_dataset

logger = logging.getLogger(__name__)

LINE_EVERY_S = 15.0
"""Between validations, the log gets a line of an epoch at most this often."""


def train_model(
    train_set: str | Path,
    val_set: str | Path,
    model_path: str | Path,
    history_path: str | Path,
    model_config: ModelConfig,
    config: TrainConfig,
    predict_config: PredictConfig,
    seed: int,
    threads: int = 1,
) -> None:
    """Train a model and keep the best.

    Parameters
    ----------
    train_set, val_set : path
        Datasets (HDF5).
    model_path : path
        Model file to write: the model of lowest mean validation MSE.
    history_path : path
        CSV file to write: a row an epoch, with the training MSE and, where validated, the validation MSE, over all
        and of each structure.
    model_config, config, predict_config : ModelConfig, TrainConfig, PredictConfig
    seed : int
        Of the weights, the crops and their order.
    threads : int
        CPU threads: computing without a GPU, reading crops with one.

    Raises
    ------
    InputError
        A dataset is empty, or the loss is no longer a finite number.
    """
    torch.set_num_threads(threads)
    fabric = Fabric(accelerator="auto", devices=1, precision=choose_precision(config.precision))
    fabric.launch()
    fabric.seed_everything(seed, verbose=False)
    with Dataset(train_set) as training, Dataset(val_set) as validation, replacing(model_path) as best_model:
        network = RepMode(len(training.tasks), model_config.width)
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
        model, optimiser = fabric.setup(network, optimiser)
        sampler = EpochSampler(len(training), seed)
        loader = make_loader(fabric, training, sampler, config, seed, workers=threads)
        validation.number_tasks(training.tasks)
        schedule = LambdaLR(optimiser, partial(learning_rate_factor, steps=len(loader) * config.epochs, config=config))
        logger.info(
            "RepMode of width %d (%s parameters) for %d structures: %d training and %d validation samples, "
            "%d epochs of %d steps, on %s in %s",
            model_config.width, f"{sum(p.numel() for p in network.parameters()):,}", len(training.tasks),
            len(training), len(validation), config.epochs, len(loader), device_name(), fabric._precision.precision,
        )  # fmt: skip

        history: list[dict[str, float]] = []
        best = {"epoch": 0, "val_mse": np.inf}
        started = last_line = time.monotonic()
        for epoch in range(1, config.epochs + 1):
            sampler.epoch = epoch
            row = {"epoch": epoch, **train_epoch(fabric, model, optimiser, schedule, loader, training.tasks)}
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                row |= validate(fabric, network, validation, config, predict_config, training.tasks)
                if row["val_mse"] < best["val_mse"]:
                    best = {"epoch": epoch, "val_mse": row["val_mse"]}
                    save_model(
                        network, model_info(training, model_config, config, predict_config, best, seed), best_model
                    )
            history.append(row)
            write_table(pd.DataFrame(history), history_path)
            if "val_mse" in row or time.monotonic() - last_line >= LINE_EVERY_S:
                log_epoch(row, config.epochs, time.monotonic() - started, best["epoch"] == epoch)
                last_line = time.monotonic()
    logger.info("the best model is that of epoch %(epoch)d, validation MSE %(val_mse).4f", best)


def make_loader(
    fabric: Fabric, training: Dataset, sampler: EpochSampler, config: TrainConfig, seed: int, workers: int
) -> DataLoader:
    """Batches of random crops; read by processes of their own where the CPU is free for it."""
    on_gpu = fabric.device.type == "cuda"
    loader = DataLoader(
        RandomCrops(training.path, config.patch, seed),
        batch_size=config.batch_size,
        sampler=sampler,
        num_workers=workers if on_gpu else 0,
        # forked workers would share the threads and files of this process
        multiprocessing_context="spawn" if on_gpu else None,
        persistent_workers=on_gpu,
        pin_memory=on_gpu,
    )
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)  # type: ignore[return-value]


def train_epoch(
    fabric: Fabric,
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: LRScheduler,
    loader: DataLoader,
    tasks: list[str],
) -> dict[str, float]:
    """One crop of each image; returns the epoch's row of the history."""
    started = time.monotonic()
    model.train()
    losses, labels = [], []
    for signal, target, task in loader:
        prediction = model(signal.contiguous(memory_format=torch.channels_last_3d), task)
        loss_N = (prediction - target).square().mean(dim=(1, 2, 3, 4))
        optimiser.zero_grad()
        fabric.backward(loss_N.mean())
        optimiser.step()
        schedule.step()
        losses.append(loss_N.detach())
        labels.append(task)
    mse = torch.cat(losses).float().cpu().numpy()
    if not np.isfinite(mse).all():
        raise InputError(
            "The training loss is not a finite number any more; lower train.learning_rate, or set train.precision "
            "to float32."
        )
    seconds = time.monotonic() - started
    row = {"seconds": seconds, "crops_per_s": len(mse) / seconds, "peak_memory_mb": peak_memory_mb(fabric.device)}
    return row | means("train_mse", mse, torch.cat(labels).cpu().numpy(), tasks)


def learning_rate_factor(step: int, steps: int, config: TrainConfig) -> float:
    """What the learning rate is multiplied by at a step, counted from 0."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def validate(
    fabric: Fabric,
    network: RepMode,
    validation: Dataset,
    config: TrainConfig,
    predict_config: PredictConfig,
    tasks: list[str],
) -> dict[str, float]:
    """Mean squared error over whole images; returns its columns of the history."""
    network.eval()
    mse, labels = [], []
    predictions = predict_dataset(network, validation, config.patch, predict_config.overlap, fabric.autocast)
    for sample, prediction in predictions:
        mse.append(score(prediction, validation.target(sample)[()])["mse"])
        labels.append(validation.index.task_number[sample])
    return means("val_mse", np.array(mse), np.array(labels), tasks)


def means(name: str, values: np.ndarray, labels: np.ndarray, tasks: list[str]) -> dict[str, float]:
    """Mean over all samples, and over those of each structure that has any."""
    by_structure = {
        f"{name}_{structure}": float(values[labels == task].mean())
        for task, structure in enumerate(tasks)
        if (labels == task).any()
    }
    return {name: float(values.mean()), **by_structure}


def model_info(
    training: Dataset,
    model_config: ModelConfig,
    config: TrainConfig,
    predict_config: PredictConfig,
    best: dict[str, float],
    seed: int,
) -> ModelInfo:
    """What the model file says of itself."""
    sections = {"model": model_config, "train": config, "predict": predict_config}
    return ModelInfo(
        structures=tuple(training.tasks),
        width=model_config.width,
        patch=config.patch,
        voxel_size_um=training.voxel_size_um,
        preprocess=training.config["preprocess"],
        config=training.config | {name: section.model_dump() for name, section in sections.items()},
        training={**best, "seed": seed},
    )


def log_epoch(row: dict[str, float], epochs: int, elapsed_s: float, best: bool) -> None:
    """Say how far the training is."""
    validation = (
        f", validation MSE {row['val_mse']:.4f}{' (the best so far)' if best else ''}" if "val_mse" in row else ""
    )
    logger.info(
        "epoch %d of %d: training MSE %.4f%s, %.1f crops/s, %s left",
        row["epoch"], epochs, row["train_mse"], validation, row["crops_per_s"],
        duration(elapsed_s * (epochs / row["epoch"] - 1)),
    )  # fmt: skip


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far, in MiB: of the GPU, or of this process without one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
