"""Training of RepMode on partially labelled images (section 4.1), by Lightning Fabric.

Each step takes a batch of random crops, each labelled for one structure; the network predicts that structure. Now and
then the whole validation images are predicted, and the model of lowest mean squared error over them is kept.

A training that is stopped or killed at any moment goes on, with the same command, as if nothing had happened: what
changes while training is in `Training`, saved as one every few minutes and at each validation. Several processes share
a batch: each takes a slice of it, and batch norm sees it whole, so the result does not depend on their number.
"""

import logging
import math
import os
import resource
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from ssp_model.checkpoint import ModelInfo, save_model
from ssp_model.config import ModelConfig, PredictConfig, TrainConfig
from ssp_model.dataset import Dataset
from ssp_model.distributed import any_process, gather, synchronise_batch_norm
from ssp_model.errors import InputError
from ssp_model.events import EventLog
from ssp_model.files import replacing, write_table
from ssp_model.hardware import choose_precision, device_name
from ssp_model.log import duration
from ssp_model.metrics import score
from ssp_model.nn import RepMode
from ssp_model.patches import EpochSampler, RandomCrops
from ssp_model.predict import predict_dataset
from ssp_model.state import Interrupted, StopRequest, explain_full_disk, load_state, save_state, stop_on_signals

logger = logging.getLogger(__name__)

LINE_EVERY_S = 15.0
"""Between validations, the log gets a line of an epoch at most this often."""
SAVE_EVERY_S = 180.0
"""The state is saved at least this often, besides at each validation."""
LOOK_EVERY_STEPS = 20
"""Steps after which losses are looked at; looking at each would make a GPU wait."""


@dataclass(frozen=True)
class TrainFiles:
    """Where a training reads and writes.

    Attributes
    ----------
    train, val : path
        Datasets (HDF5).
    model : path
        Model file to write: the model of lowest mean validation MSE.
    history : path
        CSV file to write: a row an epoch, with the training MSE and, where validated, the validation MSE, over all and
        of each structure.
    events : path
        JSON lines to write: every step, validation and resume.
    state : path
        Folder of the training state; gone when the training has ended well.
    """

    train: Path
    val: Path
    model: Path
    history: Path
    events: Path
    state: Path


@dataclass
class Progress:
    """How far a training is; with the weights, all that changes."""

    epoch: int = 1
    batch: int = 0
    """Batches of this epoch that are done."""
    losses: list[float] = field(default_factory=list)
    """Loss of each sample of this epoch so far, and below its task."""
    labels: list[int] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_mse: float = math.inf
    epoch_seconds: float = 0.0
    seconds: float = 0.0
    event_bytes: int = 0


def train_model(
    files: TrainFiles,
    model_config: ModelConfig,
    config: TrainConfig,
    predict_config: PredictConfig,
    seed: int,
    threads: int = 1,
) -> None:
    """Train a model and keep the best.

    Parameters
    ----------
    files : TrainFiles
    model_config, config, predict_config : ModelConfig, TrainConfig, PredictConfig
    seed : int
        Of the weights, the crops and their order.
    threads : int
        CPU threads: computing without a GPU, reading crops with one.

    Raises
    ------
    InputError
        A dataset is empty, the state is that of another training, the loss is no longer a finite number (the step,
        structures and images are named), or the disk is full.
    SystemExit
        The training was told to stop by a signal, and has saved its state.
    """
    torch.set_num_threads(threads)
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if config.devices * config.nodes > 1 else "auto",
        precision=choose_precision(config.precision),
    )
    fabric.launch()
    fabric.seed_everything(seed, verbose=False)
    with Dataset(files.train) as train_set, Dataset(files.val) as val_set, stop_on_signals() as stop:
        training = Training(fabric, files, train_set, val_set, model_config, config, predict_config, seed, threads)
        training.resume()
        try:
            with explain_full_disk(files.state):
                training.run(stop)
                training.finish()
        except Interrupted as interrupted:
            logger.info("stopped by %s; the same command goes on from here", interrupted)
            sys.exit(128 + interrupted.signal_number)


class Training:
    """A network, what it is trained with, and how far it is."""

    def __init__(
        self,
        fabric: Fabric,
        files: TrainFiles,
        train_set: Dataset,
        val_set: Dataset,
        model_config: ModelConfig,
        config: TrainConfig,
        predict_config: PredictConfig,
        seed: int,
        threads: int,
    ) -> None:
        self.fabric, self.files, self.train_set, self.val_set = fabric, files, train_set, val_set
        self.model_config, self.config, self.predict_config, self.seed = model_config, config, predict_config, seed
        self.tasks = train_set.tasks
        val_set.number_tasks(self.tasks)
        self.network = RepMode(len(self.tasks), model_config.width)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if fabric.world_size > 1:
            check_shares(len(train_set), config.batch_size, fabric.world_size)
            synchronise_batch_norm(self.network, fabric.device)
        # without decay this is Adam to the bit
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.model, self.optimiser = fabric.setup(self.network, optimiser)
        self.average = None
        if config.ema is not None:
            update = get_ema_multi_avg_fn(config.ema)
            self.average = AveragedModel(self.network, multi_avg_fn=update, use_buffers=True)
        self.sampler = EpochSampler(len(train_set), seed, config.batch_size, fabric.global_rank, fabric.world_size)
        self.loader = make_loader(fabric, train_set.path, self.sampler, config, seed, threads)
        self.steps_per_epoch = math.ceil(len(train_set) / config.batch_size)
        factor = partial(learning_rate_factor, steps=self.steps_per_epoch * config.epochs, config=config)
        self.schedule = LambdaLR(optimiser, factor)
        self.progress = Progress()
        self.pending: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.events = EventLog(files.state / "events.jsonl" if fabric.is_global_zero else Path(os.devnull))
        self.last_save = self.last_line = time.monotonic()

    def run(self, stop: StopRequest) -> None:
        """Train until the last epoch, or until the validation stops to improve."""
        self.log_start()
        while self.progress.epoch <= self.config.epochs and not self.has_stopped_improving():
            self.train_epoch(stop)
            row = self.close_epoch()
            epoch = self.progress.epoch
            validated = epoch % self.config.validate_every == 0 or epoch == self.config.epochs
            if validated:
                row |= self.validate(stop)
                self.keep_best(epoch, row["val_mse"])
            if self.config.keep_every and epoch % self.config.keep_every == 0:
                self.save_model(f"epoch-{epoch:04d}.safetensors")
            self.progress.history.append(row)
            self.progress = Progress(
                epoch=epoch + 1,
                history=self.progress.history,
                best_epoch=self.progress.best_epoch,
                best_mse=self.progress.best_mse,
                seconds=self.progress.seconds,
            )
            self.events.write({"event": "epoch", **row})
            self.log_epoch(row, validated)
            if validated:
                self.save()

    def train_epoch(self, stop: StopRequest) -> None:
        """Take the epoch's steps that are not yet done: one crop of each image."""
        progress = self.progress
        self.model.train()
        self.sampler.epoch, self.sampler.first_batch = progress.epoch, progress.batch
        started = time.monotonic()
        for x, y, task, sample in self.loader:
            prediction = self.model(x.contiguous(memory_format=torch.channels_last_3d), task)
            loss_N = (prediction - y).square().mean(dim=(1, 2, 3, 4))
            self.optimiser.zero_grad()
            # processes' gradients are averaged: this makes them those of the mean over the whole batch
            of_batch = min(self.config.batch_size, len(self.train_set) - progress.batch * self.config.batch_size)
            self.fabric.backward(loss_N.sum() / of_batch * self.fabric.world_size)
            if self.config.gradient_clip is not None:
                self.fabric.clip_gradients(self.model, self.optimiser, max_norm=self.config.gradient_clip)
            self.optimiser.step()
            self.schedule.step()
            if self.average is not None:
                self.average.update_parameters(self.network)
            self.pending.append((loss_N.detach(), task, sample))
            progress.batch += 1
            if progress.batch % LOOK_EVERY_STEPS == 0:
                self.look_at_losses()
            now = time.monotonic()
            progress.epoch_seconds += now - started
            started = now
            self.save_if_due(stop)
        self.look_at_losses()

    def save_if_due(self, stop: StopRequest) -> None:
        """Save now and then, and when told to stop; of several processes all at the same step."""
        if self.fabric.world_size > 1 and self.progress.batch % LOOK_EVERY_STEPS:
            return
        if any_process(self.fabric, bool(stop) or time.monotonic() - self.last_save >= SAVE_EVERY_S):
            self.save()
        if any_process(self.fabric, bool(stop)):
            raise Interrupted(stop.signal_number or signal.SIGTERM)

    def look_at_losses(self) -> None:
        """Note the losses of the last steps; stop a training that has gone astray, before its state is saved."""
        progress = self.progress
        first = progress.batch - len(self.pending)
        mine = [[tensor.tolist() for tensor in (loss_N.float(), task, sample)] for loss_N, task, sample in self.pending]
        for batch, shares in enumerate(zip(*gather(self.fabric, mine), strict=True), start=first + 1):
            losses, labels, samples = (list(chain(*parts)) for parts in zip(*shares, strict=True))
            if not np.isfinite(losses).all():
                raise InputError(self.divergence(batch, losses, samples))
            progress.losses += losses
            progress.labels += labels
            step = (progress.epoch - 1) * self.steps_per_epoch + batch
            mse = means("mse", np.array(losses), np.array(labels), self.tasks)
            self.events.write({"event": "step", "step": step, "epoch": progress.epoch, **mse})
        self.pending.clear()

    def divergence(self, batch: int, losses: list[float], samples: list[int]) -> str:
        """What to tell of a loss that is no number."""
        bad = [sample for sample, loss in zip(samples, losses, strict=True) if not math.isfinite(loss)]
        images = [f"{self.train_set.index.task[i]} in {self.train_set.index.path_czi[i]}" for i in bad]
        return (
            f"The training loss is not a finite number any more in step {batch} of epoch {self.progress.epoch}, for "
            f"{', '.join(images)}; lower train.learning_rate, set train.gradient_clip, or set train.precision to "
            "float32."
        )

    def close_epoch(self) -> dict[str, float]:
        """The epoch's row of the history."""
        progress = self.progress
        progress.seconds += progress.epoch_seconds
        mse, labels = np.array(progress.losses), np.array(progress.labels)
        return {
            "epoch": progress.epoch,
            **means("train_mse", mse, labels, self.tasks),
            "learning_rate": float(self.schedule.get_last_lr()[0]),
            "seconds": progress.epoch_seconds,
            "crops_per_s": len(mse) / progress.epoch_seconds,
            "peak_memory_mb": peak_memory_mb(self.fabric.device),
        }

    def best_network(self) -> RepMode:
        """The network to validate and to keep: the running average of the weights, if there is one."""
        return self.network if self.average is None else self.average.module  # type: ignore[return-value]

    def validate(self, stop: StopRequest) -> dict[str, float]:
        """Mean squared error over whole images; returns its columns of the history."""
        network = self.best_network().eval()
        started = time.monotonic()
        samples = self.val_set.index.sort_values("task_number", kind="stable").index
        mine = samples[self.fabric.global_rank :: self.fabric.world_size]
        overlap, autocast = self.predict_config.overlap, self.fabric.autocast
        scores: list[tuple[int, float]] = []
        for sample, prediction in predict_dataset(network, self.val_set, self.config.patch, overlap, autocast, mine):
            scores.append((sample, score(prediction, self.val_set.target(sample)[()])["mse"]))
            if stop and self.fabric.world_size == 1:
                self.progress.seconds -= self.progress.epoch_seconds  # the epoch is closed again after the resume
                self.save_if_due(stop)
        mse_of = dict(chain(*gather(self.fabric, scores)))
        mse = np.array([mse_of[sample] for sample in samples])
        self.progress.seconds += time.monotonic() - started
        return means("val_mse", mse, self.val_set.index.task_number[samples].to_numpy(), self.tasks)

    def keep_best(self, epoch: int, val_mse: float) -> None:
        """Keep the model if it is the best so far."""
        if not math.isfinite(val_mse):
            raise InputError(
                f"The validation MSE is not a finite number in epoch {epoch}; lower train.learning_rate, or set "
                "train.precision to float32."
            )
        if val_mse < self.progress.best_mse:
            self.progress.best_epoch, self.progress.best_mse = epoch, val_mse
            self.save_model("best.safetensors")

    def save_model(self, name: str) -> None:
        """Write the model as it is to a file beside the state."""
        if self.fabric.is_global_zero:
            save_model(self.best_network(), self.info(), self.files.state / name)

    def has_stopped_improving(self) -> bool:
        """Whether the last validations, as many as `early_stopping`, brought nothing better."""
        if self.config.early_stopping is None:
            return False
        since_best = [
            row for row in self.progress.history if row["epoch"] > self.progress.best_epoch and "val_mse" in row
        ]
        return len(since_best) >= self.config.early_stopping

    def identity(self) -> dict[str, Any]:
        """What a state must agree in to be taken up."""
        return {
            "model": self.model_config.model_dump(),
            # the number of processes is no part of the result
            "train": self.config.model_dump(exclude={"devices", "nodes"}),
            "predict": self.predict_config.model_dump(),
            "seed": self.seed,
            "data": {"train": self.train_set.digest(), "val": self.val_set.digest()},
        }

    def save(self) -> None:
        """Save all that changes."""
        self.look_at_losses()
        self.progress.event_bytes = self.events.flush()
        content = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "random": torch.get_rng_state(),
            "progress": asdict(self.progress),
        }
        if self.fabric.is_global_zero:
            save_state(self.files.state, self.identity(), content)
        self.fabric.barrier()
        self.last_save = time.monotonic()

    def resume(self) -> None:
        """Take up the state of an unfinished training, if there is one."""
        state = load_state(self.files.state, self.identity())
        if state is None:
            self.events.start(0)
            return
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        self.progress = Progress(**state["progress"])
        self.events.start(self.progress.event_bytes)
        logger.info(
            "going on from epoch %d, step %d of %d", self.progress.epoch, self.progress.batch + 1, self.steps_per_epoch
        )

    def finish(self) -> None:
        """Put the results in their places; the state has served."""
        if not self.fabric.is_global_zero:
            return
        state = self.files.state
        self.events.close()
        write_table(pd.DataFrame(self.progress.history), self.files.history)
        for source, target in ((state / "best.safetensors", self.files.model), (self.events.path, self.files.events)):
            with replacing(target) as temporary:
                # another file system may hold the results
                temporary.write_bytes(source.read_bytes())
        for name in ("state.pt", "best.safetensors", "events.jsonl"):
            (state / name).unlink(missing_ok=True)
        if not any(state.iterdir()):
            state.rmdir()
        logger.info(
            "the best model is that of epoch %d, validation MSE %.4f", self.progress.best_epoch, self.progress.best_mse
        )

    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        data = self.train_set.config
        sections = {"model": self.model_config, "train": self.config, "predict": self.predict_config}
        best: dict[str, object] = {
            "epoch": self.progress.best_epoch,
            "val_mse": self.progress.best_mse,
            "seed": self.seed,
        }
        return ModelInfo(
            structures=tuple(self.tasks),
            width=self.model_config.width,
            patch=self.config.patch,
            voxel_size_um=self.train_set.voxel_size_um,
            preprocess=data["preprocess"],
            config=data | {name: section.model_dump() for name, section in sections.items()},
            training=best,
        )

    def log_start(self) -> None:
        """Say what is trained, on what, where."""
        processes = f" x {self.fabric.world_size}" if self.fabric.world_size > 1 else ""
        logger.info(
            "RepMode of width %d (%s parameters) for %d structures: %d training and %d validation samples, "
            "%d epochs of %d steps, on %s in %s",
            self.model_config.width, f"{sum(p.numel() for p in self.network.parameters()):,}", len(self.tasks),
            len(self.train_set), len(self.val_set), self.config.epochs, self.steps_per_epoch, device_name() + processes,
            self.fabric._precision.precision,
        )  # fmt: skip

    def log_epoch(self, row: dict[str, float], validated: bool) -> None:
        """Say how far the training is: after each validation, and now and then between."""
        now = time.monotonic()
        if not validated and now - self.last_line < LINE_EVERY_S:
            return
        self.last_line = now
        best = " (the best so far)" if self.progress.best_epoch == row["epoch"] else ""
        validation = f", validation MSE {row['val_mse']:.4f}{best}" if validated else ""
        left_s = self.progress.seconds * (self.config.epochs / row["epoch"] - 1)
        logger.info(
            "epoch %d of %d: training MSE %.4f%s, %.1f crops/s, %s left",
            row["epoch"], self.config.epochs, row["train_mse"], validation, row["crops_per_s"], duration(left_s),
        )  # fmt: skip


def check_shares(samples: int, batch_size: int, processes: int) -> None:
    """Every process must get a sample of every batch, the last of an epoch included."""
    last = samples % batch_size or batch_size
    if min(last, batch_size) < processes:
        raise InputError(
            f"{samples} training samples in batches of {batch_size} leave a last batch of {last}, too small for "
            f"{processes} processes (train.devices x train.nodes); change train.batch_size or use fewer."
        )


def make_loader(
    fabric: Fabric, train_set: Path, sampler: EpochSampler, config: TrainConfig, seed: int, workers: int
) -> DataLoader:
    """Batches of random crops; read by processes of their own where the CPU is free for it."""
    on_gpu = fabric.device.type == "cuda"
    loader = DataLoader(
        RandomCrops(train_set, config.patch, seed),
        batch_sampler=sampler,
        num_workers=workers if on_gpu else 0,
        # forked workers would share the threads and files of this process
        multiprocessing_context="spawn" if on_gpu else None,
        persistent_workers=on_gpu,
        pin_memory=on_gpu,
    )
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)  # type: ignore[return-value]


def learning_rate_factor(step: int, steps: int, config: TrainConfig) -> float:
    """What the learning rate is multiplied by at a step, counted from 0."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def means(name: str, values: np.ndarray, labels: np.ndarray, tasks: list[str]) -> dict[str, float]:
    """Mean over all samples, and over those of each structure that has any."""
    by_structure = {
        f"{name}_{structure}": float(values[labels == task].mean())
        for task, structure in enumerate(tasks)
        if (labels == task).any()
    }
    return {name: float(values.mean()), **by_structure}


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far, in MiB: of the GPU, or of this process without one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
