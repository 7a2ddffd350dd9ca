"""Training of RepMode on partially labelled images (section 4.1), by Lightning Fabric.

Each step takes a batch of random crops, each labelled for one structure; the network predicts that structure. Now and
then the whole validation images are predicted, and the model of lowest mean squared error over them is kept.

A training that is stopped or killed at any moment goes on, with the same command, as if nothing had happened: what
changes while training is in `Learner` and `Progress`, saved as one every few minutes and at each validation. Several
processes share a batch: each takes a slice of it, and batch norm sees it whole, so the result does not depend on their
number.
"""

import logging
import math
import os
import shutil
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric

from ssp_model.config.schema import PLACEMENT, ModelConfig, PredictConfig, TrackingConfig, TrainConfig
from ssp_model.data.crops import EpochSampler
from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.evaluation.metrics import squared_error
from ssp_model.files import replacing, write_table
from ssp_model.hardware import device_name
from ssp_model.models.model_file import ModelInfo, save_model
from ssp_model.prediction.sliding_window import Windows, predict_dataset
from ssp_model.provenance import source_digest
from ssp_model.training.distributed import any_process, await_kill, gather, make_fabric, start_processes
from ssp_model.training.learner import Learner
from ssp_model.training.loader import check_shares, crops_file, make_loader
from ssp_model.training.record import Record, peak_memory_mb
from ssp_model.training.state import STATE_FILE, explain_full_disk, load_state, save_state
from ssp_model.training.stop import Interrupted, StopRequest, sole_user, stop_on_signals
from ssp_model.training.tracking import Tracker, track

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 180.0
"""The state is saved at least this often, besides at each validation."""
BEST_MODEL = "best.safetensors"
LOOK_EVERY_STEPS = 20
"""Steps after which losses are looked at; looking at each would make a GPU wait."""
MOST_PICTURED = 24
"""Structures in the picture of a validation; three whole volumes of each are held in memory until it is drawn."""
LOOK_EVERY_S = 2.0
"""Several processes agree on whether to stop when losses are looked at: with long steps, about this often."""


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
        JSON lines to write: every step and every epoch.
    state : path
        Folder of the training state. Of a training that has ended it keeps the result, in case its files are lost with
        the workflow that waited for them.
    tracking : path
        Folder of the tracker, if the configuration wants one.
    """

    train: Path
    val: Path
    model: Path
    history: Path
    events: Path
    state: Path
    tracking: Path


@dataclass
class Progress:
    """How far a training is."""

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
    tracking: TrackingConfig,
    name: str,
    seed: int,
    threads: int = 1,
) -> None:
    """Train a model and keep the best.

    Parameters
    ----------
    files : TrainFiles
    model_config, config, predict_config, tracking : ModelConfig, TrainConfig, PredictConfig, TrackingConfig
    name : str
        What the tracker calls the training.
    seed : int
        Of the weights, the crops and their order.
    threads : int
        CPU threads: computing without a GPU, reading crops with one.

    Raises
    ------
    InputError
        A dataset is empty, the state is that of another training or in use by one, the loss is no longer a finite
        number (the step, structures and images are named), the disk is full, the dataset does not fit in the memory or
        on the scratch disk it is to be kept in, or nothing here starts processes on `train.nodes` machines.
    SystemExit
        The training was told to stop by a signal, and has saved its state.
    """
    start_processes(config.devices, config.nodes, threads)
    torch.set_num_threads(threads)
    try:
        with sole_user(files.state):
            fabric = make_fabric(config.precision, config.devices, config.nodes)
            fabric.launch()
            fabric.seed_everything(seed, verbose=False)
            with Dataset(files.train) as train_set, Dataset(files.val) as val_set, stop_on_signals() as stop:
                training = Training(
                    fabric, files, train_set, val_set, model_config, config, predict_config, seed, threads
                )
                training.run_to_end(stop, tracking, name)
    except Interrupted as interrupted:
        logger.info("stopped by %s; the same command goes on from here", interrupted)
        if interrupted.signal_number == signal.SIGTERM:
            await_kill()
        sys.exit(128 + interrupted.signal_number)


class Training:
    """A learner, the data it learns from, and how far it is."""

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
        check_shares(len(train_set), config, fabric.world_size)
        self.steps_per_epoch = math.ceil(len(train_set) / config.batch_size)
        self.learner = Learner(
            fabric, len(self.tasks), model_config.width, config, self.steps_per_epoch * config.epochs
        )
        self.sampler = EpochSampler(len(train_set), seed, config.batch_size, fabric.global_rank, fabric.world_size)
        self.threads = threads
        self.progress = Progress()
        self.pending: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        events = files.state / "events.jsonl" if fabric.is_global_zero else Path(os.devnull)
        self.record = Record(events, self.tasks, config.epochs)
        self.tracker = Tracker()
        self.last_save = self.last_look = time.monotonic()
        self.look_after = LOOK_EVERY_STEPS

    def run_to_end(self, stop: StopRequest, tracking: TrackingConfig, name: str) -> None:
        """Go on from the state there is, train, and put the results in their places."""
        resumes = self.resume()
        watched = tracking if self.fabric.is_global_zero else tracking.model_copy(update={"wandb": "disabled"})
        settings = self.settings() | {"seed": self.seed}
        with (
            crops_file(self.fabric, self.train_set, self.config) as crops,
            explain_full_disk(self.files.state),
            track(self.files.tracking, watched, name, settings, resumes) as tracker,
        ):
            self.run(crops, stop, tracker)
            self.finish(tracker)

    def run(self, crops: Path, stop: StopRequest, tracker: Tracker) -> None:
        """Train until the last epoch, or until the validation stops to improve."""
        self.tracker = tracker
        self.loader = make_loader(self.fabric, crops, self.sampler, self.config, self.seed, self.threads)
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
            self.record.epoch(row, self.progress.best_epoch == epoch, self.progress.seconds)
            if validated:
                self.save()

    def train_epoch(self, stop: StopRequest) -> None:
        """Take the epoch's steps that are not yet done: one crop of each image."""
        progress = self.progress
        self.learner.model.train()
        self.sampler.epoch, self.sampler.first_batch = progress.epoch, progress.batch
        started = time.monotonic()
        for x, y, task, sample in self.loader:
            of_batch = min(self.config.batch_size, len(self.train_set) - progress.batch * self.config.batch_size)
            self.pending.append((self.learner.step(x, y, task, of_batch), task, sample))
            progress.batch += 1
            looks = len(self.pending) >= self.look_after
            if looks:
                self.look_at_losses()
            now = time.monotonic()
            progress.epoch_seconds += now - started
            started = now
            if looks or self.fabric.world_size == 1:
                self.save_if_due(stop)
        self.look_at_losses()
        self.save_if_due(stop)

    def save_if_due(self, stop: StopRequest) -> None:
        """Save now and then, and when told to stop; of several processes all at the same step."""
        if any_process(self.fabric, bool(stop) or time.monotonic() - self.last_save >= SAVE_EVERY_S):
            self.save()
        if any_process(self.fabric, bool(stop)):
            raise Interrupted(stop.signal_number or signal.SIGTERM)

    def look_at_losses(self) -> None:
        """Note the losses of the last steps; stop a training that has gone astray, before its state is saved."""
        progress = self.progress
        first = progress.batch - len(self.pending)
        mine = [[tensor.tolist() for tensor in (loss_N.float(), task, sample)] for loss_N, task, sample in self.pending]
        now = time.monotonic()
        shares_of_all = gather(self.fabric, (mine, (now - self.last_look) / max(len(mine), 1)))
        self.last_look = now
        # of several processes all look at the same step: the slowest says when
        step_s = max(seconds for _, seconds in shares_of_all)
        self.look_after = min(max(int(LOOK_EVERY_S / max(step_s, 1e-9)), 1), LOOK_EVERY_STEPS)
        for batch, shares in enumerate(zip(*(share for share, _ in shares_of_all), strict=True), start=first + 1):
            losses, labels, samples = (list(chain(*parts)) for parts in zip(*shares, strict=True))
            if not np.isfinite(losses).all():
                raise InputError(self.divergence(batch, losses, samples))
            progress.losses += losses
            progress.labels += labels
            step = (progress.epoch - 1) * self.steps_per_epoch + batch
            self.record.step(progress.epoch, step, losses, labels)
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
            **self.record.means("train_mse", mse, labels),
            "learning_rate": self.learner.learning_rate,
            "seconds": progress.epoch_seconds,
            "crops_per_s": len(mse) / progress.epoch_seconds,
            "peak_memory_mb": peak_memory_mb(self.fabric.device),
        }

    def validate(self, stop: StopRequest) -> dict[str, float]:
        """Mean squared error over whole images; returns its columns of the history."""
        network = self.learner.best_network().eval()
        started = time.monotonic()
        samples = self.val_set.index.sort_values("task_number", kind="stable").index
        mine = samples[self.fabric.global_rank :: self.fabric.world_size]
        windows, autocast = Windows.of(self.config.patch, self.predict_config), self.fabric.autocast
        scores: list[tuple[int, float]] = []
        # a tracker gets the first image of some structures, of those that the process that writes has predicted
        firsts = self.val_set.index.loc[mine].drop_duplicates("task").index[:MOST_PICTURED]
        pictured = set(firsts) if self.tracker.wants_pictures else ()
        pictures: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for sample, prediction in predict_dataset(network, self.val_set, windows, autocast, mine):
            target = self.val_set.target(sample)[()]
            scores.append((sample, squared_error(prediction, target)))
            if sample in pictured:
                pictures[self.val_set.index.task[sample]] = (self.val_set.signal(sample)[()], target, prediction)
            if stop and self.fabric.world_size == 1:
                self.progress.seconds -= self.progress.epoch_seconds  # the epoch is closed again after the resume
                self.save_if_due(stop)
        mse_of = dict(chain(*gather(self.fabric, scores)))
        self.tracker.picture(self.progress.epoch, pictures)
        mse = np.array([mse_of[sample] for sample in samples])
        self.progress.seconds += time.monotonic() - started
        return self.record.means("val_mse", mse, self.val_set.index.task_number[samples].to_numpy())

    def keep_best(self, epoch: int, val_mse: float) -> None:
        """Keep the model if it is the best so far."""
        if not math.isfinite(val_mse):
            raise InputError(
                f"The validation MSE is not a finite number in epoch {epoch}; lower train.learning_rate, or set "
                "train.precision to float32."
            )
        if val_mse < self.progress.best_mse:
            self.progress.best_epoch, self.progress.best_mse = epoch, val_mse
            self.save_model(BEST_MODEL)

    def save_model(self, name: str) -> None:
        """Write the model as it is to a file beside the state."""
        if self.fabric.is_global_zero:
            save_model(self.learner.best_network(), self.info(), self.files.state / name)

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
            # where it is computed is no part of the result
            "train": self.config.model_dump(exclude=PLACEMENT),
            "predict": self.predict_config.model_dump(),
            "seed": self.seed,
            "data": {"train": self.train_set.digest(), "val": self.val_set.digest()},
        }

    def save(self) -> None:
        """Save all that changes."""
        self.look_at_losses()
        self.progress.event_bytes = self.record.events.flush()
        if self.fabric.is_global_zero:
            content = {"learner": self.learner.state_dict(), "progress": asdict(self.progress)}
            save_state(self.files.state, self.identity(), content)
            self.tracker.catch_up(self.record.events.path, self.progress.event_bytes)
        self.fabric.barrier()
        self.last_save = time.monotonic()

    def resume(self) -> bool:
        """Take up the state of this training, if there is one; returns whether there is."""
        state = load_state(self.files.state, self.identity(), source_digest("training.train"))
        self.fabric.barrier()
        if state is not None:
            self.progress = Progress(**state["progress"])
            if "learner" in state:
                self.learner.load_state_dict(state["learner"])
                logger.info(
                    "going on from epoch %d, step %d of %d",
                    self.progress.epoch, self.progress.batch + 1, self.steps_per_epoch,
                )  # fmt: skip
            else:
                logger.info("this training has ended before: its results are put in their places again")
        elif self.fabric.is_global_zero:
            # that of one that has ended, and was another
            (self.files.state / STATE_FILE).unlink(missing_ok=True)
        self.record.events.start(self.progress.event_bytes)
        return state is not None

    def finish(self, tracker: Tracker) -> None:
        """Put the results in their places; what they are made of stays, without what only more training would need."""
        if not self.fabric.is_global_zero:
            return
        events, best = self.record.events, self.files.state / BEST_MODEL
        self.progress.event_bytes = events.flush()
        tracker.catch_up(events.path, self.progress.event_bytes)
        events.close()
        save_state(
            self.files.state,
            self.identity(),
            {"progress": asdict(self.progress), "code": source_digest("training.train")},
        )
        write_table(pd.DataFrame(self.progress.history), self.files.history)
        with replacing(self.files.model) as temporary:
            try:
                # a model file is replaced, never changed: on one file system both names can be of one file
                temporary.hardlink_to(best)
            except OSError:
                shutil.copyfile(best, temporary)
        with replacing(self.files.events) as temporary:
            shutil.copyfile(events.path, temporary)
        logger.info(
            "the best model is that of epoch %d, validation MSE %.4f", self.progress.best_epoch, self.progress.best_mse
        )

    def settings(self) -> dict[str, Any]:
        """The configuration that the model depends on."""
        sections = {"model": self.model_config, "train": self.config, "predict": self.predict_config}
        return self.train_set.config | {name: section.model_dump() for name, section in sections.items()}

    def info(self) -> ModelInfo:
        """What the model file says of itself."""
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
            preprocess=self.train_set.config["preprocess"],
            config=self.settings(),
            training=best,
        )

    def log_start(self) -> None:
        """Say what is trained, on what, where."""
        places = gather(self.fabric, os.environ.get("SLURMD_NODENAME") or socket.gethostname())
        processes = f" x {len(places)} ({', '.join(places)})" if len(places) > 1 else ""
        logger.info(
            "RepMode of width %d (%s parameters) for %d structures: %d training and %d validation samples, "
            "%d epochs of %d steps, on %s in %s",
            self.model_config.width, f"{sum(p.numel() for p in self.learner.network.parameters()):,}", len(self.tasks),
            len(self.train_set), len(self.val_set), self.config.epochs, self.steps_per_epoch, device_name() + processes,
            self.fabric._precision.precision,
        )  # fmt: skip
