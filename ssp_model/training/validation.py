"""Validation during the training: the mean squared error over whole images."""

from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

import numpy as np
from lightning_fabric import Fabric

from ssp_model.data.dataset import Dataset
from ssp_model.nn.method import Method
from ssp_model.prediction.sliding_window import Windows, predict_dataset
from ssp_model.training.distributed import gather

MOST_PICTURED = 24
"""Structures in the picture of a validation. Memory holds three whole volumes of each until it is drawn."""

Pictures = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""For each structure: signal, target and prediction of an image, (Z, Y, X) each."""


class Validation(NamedTuple):
    """Mean squared error and task of each validation sample, and the volumes to draw."""

    mse: np.ndarray
    tasks: np.ndarray
    pictures: Pictures


def validate(
    network: Method,
    val_set: Dataset,
    windows: Windows,
    fabric: Fabric,
    *,
    check_stop: Callable[[], None],
    with_pictures: bool,
) -> Validation:
    """Predict and score every validation sample. Several processes share the samples.

    Parameters
    ----------
    network : Method
        In evaluation mode.
    val_set : Dataset
    windows : Windows
    fabric : Fabric
    check_stop : callable
        Called after each sample.
    with_pictures : bool
        Keep the volumes of one sample for some of the structures that this process predicts.
    """
    samples = val_set.index.sort_values("task_number", kind="stable").index
    mine = samples[fabric.global_rank :: fabric.world_size]
    firsts = set(val_set.index.loc[mine].drop_duplicates("task").index[:MOST_PICTURED]) if with_pictures else set()
    errors: list[tuple[int, float]] = []
    pictures: Pictures = {}
    for sample, prediction in predict_dataset(network, val_set, windows, fabric.autocast, mine):
        target = val_set.target(sample)[()]
        errors.append((sample, squared_error(prediction, target)))
        if sample in firsts:
            pictures[val_set.index.task[sample]] = (val_set.signal(sample)[()], target, prediction)
        check_stop()
    error_of = dict(chain(*gather(fabric, errors)))
    mse = np.array([error_of[sample] for sample in samples])
    return Validation(mse, val_set.index.task_number[samples].to_numpy(), pictures)


def squared_error(prediction: np.ndarray, target: np.ndarray) -> float:
    """Return the mean squared error over all voxels, in float64; (Z, Y, X) each.

    Not a metric of the evaluation: a change of these must not train a model again.
    """
    return float(np.square(prediction.astype(np.float64) - target).mean())
