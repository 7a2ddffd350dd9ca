"""Train on partially labelled images (RepMode, section 4.1) with Lightning Fabric.

Each step takes a batch of random crops. Each crop is labelled for one structure, and the network predicts this
structure. Once in a while the network predicts the whole validation images. The model with the lowest mean squared
error is kept.

A training may be stopped or killed at any moment. With the same command it resumes as if it had never stopped. What
changes during a training is in `Learner` and `Progress`, which are saved together every few minutes and at each
validation. Several processes share a batch: each takes a part of it, and batch norm sees the whole batch. So the result
does not depend on the number of processes, except for rounding.

Not covered: a resumed training repeats the same steps to the bit only on the same hardware and number of threads.
"""

import logging
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssp_model.config.schema import TrackingConfig
from ssp_model.data.dataset import Dataset
from ssp_model.data.signal_statistics import training_signals
from ssp_model.errors import InputError
from ssp_model.files import replacing, write_table
from ssp_model.models.model_file import ModelInfo, make_network, save_model
from ssp_model.nn.method import Method
from ssp_model.prediction.sliding_window import Windows
from ssp_model.provenance import source_digest
from ssp_model.training.checkpoint import Checkpoint, explain_full_disk
from ssp_model.training.distributed import Placement
from ssp_model.training.extension import extended_info, extended_network, settle
from ssp_model.training.learner import Learner
from ssp_model.training.loader import Crops, check_batches, open_crops
from ssp_model.training.losses import Losses
from ssp_model.training.progress import Epoch, Progress, means
from ssp_model.training.recipe import Recipe
from ssp_model.training.session import Session, open_session
from ssp_model.training.tracking import track
from ssp_model.training.training_log import EVENTS, TrainingLog, announce, open_events, peak_memory_mb
from ssp_model.training.validation import validate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainFiles:
    """Where a training reads and writes.

    Attributes
    ----------
    train, val : path
        Datasets (HDF5) for training and validation.
    model : path
        Model file to write: the model with the lowest mean validation MSE.
    history : path
        CSV file to write. Each epoch has a row with the training MSE and, where it was validated, the validation MSE:
        over all structures and of each.
    events : path
        JSON lines to write, for every step and every epoch.
    checkpoint : path
        Folder of the checkpoint. A finished training leaves its results there too, because the workflow that waits for
        them may have died.
    tracking : path
        Folder of the tracker, if the config asks for one.
    """

    train: Path
    val: Path
    model: Path
    history: Path
    events: Path
    checkpoint: Path
    tracking: Path


@dataclass(frozen=True)
class Training:
    """The parts of an open training.

    Attributes
    ----------
    session : Session
        Its processes.
    base : ModelInfo, or None
        The model that is extended.
    train_set, val_set : Dataset
    learner : Learner
        The network and what trains it.
    progress : Progress
        How far it is.
    checkpoint : Checkpoint
        What it resumes from.
    log : TrainingLog
    crops : Crops
        What it reads.
    losses : Losses
        Losses of the steps that were not read yet.
    signals : dict, or None
        Statistics of the training signals; None if the model is extended and keeps its own, and where no model is
        written.
    """

    session: Session
    base: ModelInfo | None
    train_set: Dataset
    val_set: Dataset
    learner: Learner
    progress: Progress
    checkpoint: Checkpoint
    log: TrainingLog
    crops: Crops
    losses: Losses
    signals: dict[str, Any] | None

    def save_and_stop_if_due(self) -> None:
        """Save the checkpoint now and then; when told to stop, save it and end. All processes must ask."""
        stopping = self.session.is_told_to_stop()
        if stopping or self.session.any(flag=self.checkpoint.is_due()):
            self.checkpoint.save(self.learner, self.progress, self.log)
        if stopping:
            self.session.stop_now()


def train_model(files: TrainFiles, recipe: Recipe, *, tracking: TrackingConfig, placement: Placement) -> None:
    """Train a model and keep the best.

    Parameters
    ----------
    files : TrainFiles
    recipe : Recipe
    tracking : TrackingConfig
        Where the training reports to.
    placement : Placement
        Where it is computed.

    Raises
    ------
    InputError
        The checkpoint belongs to another training or is in use; the last batch is too small; a loss is not a finite
        number (the text names the step, structures and images); the disk is full; the dataset does not fit in memory or
        on scratch; it lacks a structure that is wanted; nothing here starts processes on several machines; the method
        can't be trained by several processes; or the model can't be extended.
    SystemExit
        A signal told the training to stop, and the checkpoint is saved.
    """
    config = recipe.train
    recipe, base = settle(recipe, files.train)
    windows = Windows.of(base.patch if base else config.patch, recipe.predict)
    with open_training(files, recipe, base, tracking=tracking, placement=placement) as training:
        learner, progress, losses, log = training.learner, training.progress, training.losses, training.log
        while progress.epoch.number <= config.epochs and not progress.has_stalled(config.early_stopping):
            epoch = progress.epoch
            learner.model.train()
            losses.start_epoch()
            for batch in training.crops.batches(epoch):
                losses.add(learner.step(batch), batch)
                if losses.are_due():
                    log.steps(epoch, losses.collect(epoch))
                    training.save_and_stop_if_due()
            log.steps(epoch, losses.collect(epoch))
            training.save_and_stop_if_due()

            row = epoch_row(epoch, learner, log.structures)
            started = time.monotonic()
            validates = epoch.number % config.validate_every == 0 or epoch.number == config.epochs
            if validates:
                row |= validation_row(training, windows)
                if progress.is_best(row["val_mse"]):
                    save_network(training, recipe, training.checkpoint.best_model)
            if config.keep_every and epoch.number % config.keep_every == 0:
                save_network(training, recipe, files.checkpoint / f"epoch-{epoch.number:04d}.safetensors")
            progress.finish_epoch(row, time.monotonic() - started)
            log.epoch(row, progress)
            if validates:
                training.checkpoint.save(learner, progress, log)
        training.checkpoint.finish(progress, log)
        if training.session.fabric.is_global_zero:
            publish(files, recipe, progress, training.checkpoint)


@contextmanager
def open_training(
    files: TrainFiles, recipe: Recipe, base: ModelInfo | None, *, tracking: TrackingConfig, placement: Placement
) -> Iterator[Training]:
    """Start the processes of a training, open its data, and resume from its checkpoint if there is one."""
    config, seed = recipe.train, recipe.seed
    with (
        open_session(files.checkpoint, placement, precision=config.precision, seed=seed) as session,
        Dataset(files.train, recipe.structures) as train_set,
        Dataset(files.val, recipe.structures) as val_set,
    ):
        fabric, structures = session.fabric, [*(base.structures if base else ()), *train_set.tasks]
        writes = fabric.is_global_zero
        for dataset in (train_set, val_set):
            dataset.number_tasks(structures)
        steps_per_epoch = math.ceil(len(train_set) / config.batch_size)
        if recipe.extends:
            network = extended_network(recipe.extends, train_set, val_set)
        else:
            network = make_network(recipe.model.method, len(structures), recipe.model.model_dump())
        check_processes(network, fabric.world_size)
        learner = Learner(fabric, network, config, steps_per_epoch * config.epochs)
        code = source_digest("training.train", f"nn.methods.{recipe.model.method}")
        identity = recipe.identity(train_set, val_set)
        checkpoint = Checkpoint(files.checkpoint, session, identity=identity, code=code)
        # before anything is taken up or copied
        apart = network.alone and len(train_set.tasks) > 1
        check_batches(len(train_set), config, fabric.world_size, apart=apart)
        progress, resumes = start_or_resume(checkpoint, learner)
        name, settings = f"{recipe.experiment}-{seed}", recipe.settings(train_set)
        with (
            open_crops(fabric, train_set, config, tasks=structures, placement=placement, seed=seed) as crops,
            explain_full_disk(files.checkpoint),
            open_events(files.checkpoint, progress.event_bytes, writes=writes) as events,
            track(
                files.tracking, tracking if writes else None, name=name, settings=settings, resumes=resumes
            ) as tracker,
        ):
            log = TrainingLog(
                events, tracker, structures=structures, steps_per_epoch=steps_per_epoch, num_epochs=config.epochs
            )
            announce(fabric, network, recipe, train_set, val_set)
            losses = Losses(fabric, train_set)
            signals = training_signals(train_set) if writes and base is None else None
            yield Training(
                session, base, train_set, val_set, learner, progress, checkpoint, log, crops, losses, signals
            )


def check_processes(network: Method, num_processes: int) -> None:
    """Refuse to share the batches of a method among processes if its batch norms could not see whole batches.

    Raises
    ------
    InputError
    """
    if network.in_one_process and network.num_tasks > 1 and num_processes > 1:
        raise InputError(
            f"{network.title} can be trained by one process only, as parts of it see only some crops of a batch, but "
            f"{num_processes} processes are asked for (resources tasks_per_node x nodes of train_model); ask for one."
        )


def start_or_resume(checkpoint: Checkpoint, learner: Learner) -> tuple[Progress, bool]:
    """Load the checkpoint of this training. Return the progress, and whether there was a checkpoint."""
    state = checkpoint.load()
    if state is None:
        return Progress(), False
    progress = Progress.from_state_dict(state["progress"])
    if state["is_finished"]:
        logger.info("this training has finished before: its results are written again")
    else:
        learner.load_state_dict(state["learner"])
        logger.info("resuming at epoch %d, step %d", progress.epoch.number, progress.epoch.num_batches + 1)
    return progress, True


def epoch_row(epoch: Epoch, learner: Learner, structures: Sequence[str]) -> dict[str, float]:
    """Return the row of the history for a trained epoch."""
    return {
        "epoch": epoch.number,
        **means("train_mse", np.array(epoch.losses), np.array(epoch.tasks), structures),
        "learning_rate": learner.learning_rate,
        "seconds": epoch.seconds,
        "crops_per_s": len(epoch.losses) / epoch.seconds,
        "peak_memory_mb": peak_memory_mb(learner.fabric.device),
    }


def validation_row(training: Training, windows: Windows) -> dict[str, float]:
    """Validate the network as it is now, and return its columns of the history.

    Raises
    ------
    InputError
        The mean squared error is not a finite number.
    """
    fabric, log, epoch = training.session.fabric, training.log, training.progress.epoch
    result = validate(
        training.learner.averaged_network.eval(),
        training.val_set,
        windows,
        fabric,
        # processes have different numbers of images, so they can't ask each other after each image
        check_stop=training.save_and_stop_if_due if fabric.world_size == 1 else lambda: None,
        with_pictures=log.tracker.wants_pictures,
    )
    row = means("val_mse", result.mse, result.tasks, log.structures)
    if not math.isfinite(row["val_mse"]):
        raise InputError(
            f"The validation MSE is not a finite number in epoch {epoch.number}; lower train.learning_rate, or set "
            "train.precision to float32."
        )
    log.tracker.picture(epoch.number, result.pictures)
    return row


def save_network(training: Training, recipe: Recipe, path: Path) -> None:
    """Write the network as it is now to a model file."""
    if training.session.fabric.is_global_zero:
        save_model(training.learner.averaged_network, model_info(training, recipe), path)


def model_info(training: Training, recipe: Recipe) -> ModelInfo:
    """Return what the model file says about the model, or about the base model and what extends it."""
    train_set, progress = training.train_set, training.progress
    config = train_set.config | recipe.sections()
    provenance = {
        "experiment": recipe.experiment,
        "seed": recipe.seed,
        "epoch": progress.best_epoch,
        "val_mse": progress.best_mse,
    }
    if training.base is not None:
        return extended_info(training.base, train_set.tasks, config=config, training=provenance)
    model = recipe.model.model_dump()
    return ModelInfo(
        structures=tuple(train_set.tasks),
        method=model.pop("method"),
        settings=model,
        patch=recipe.train.patch,
        voxel_size_um=train_set.voxel_size_um,
        preprocess=train_set.config["preprocess"],
        config=config,
        training=provenance,
        signals=training.signals,
    )


def publish(files: TrainFiles, recipe: Recipe, progress: Progress, checkpoint: Checkpoint) -> None:
    """Write the results. The checkpoint folder keeps its own copies."""
    history = pd.DataFrame(progress.history)
    history.insert(0, "experiment", recipe.experiment)
    history.insert(1, "seed", recipe.seed)
    write_table(history, files.history)
    with replacing(files.model) as temporary:
        try:
            # a model file is replaced, never changed, so two names on one file system can share one file
            temporary.hardlink_to(checkpoint.best_model)
        except OSError:
            shutil.copyfile(checkpoint.best_model, temporary)
    with replacing(files.events) as temporary:
        shutil.copyfile(checkpoint.folder / EVENTS, temporary)
    logger.info("the best model is that of epoch %d, validation MSE %.4f", progress.best_epoch, progress.best_mse)
