"""Join models of one structure each, trained alone, to one model of all (a method that is `alone`, such as Multi-Net).

The model and its history look like those of one training. Trainings that stop early have different numbers of epochs.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

import ssp_model
from ssp_model.data.dataset import Dataset
from ssp_model.data.signal_statistics import training_signals
from ssp_model.errors import InputError
from ssp_model.files import replacing, write_table
from ssp_model.models.model_file import ModelInfo, load_model, make_network, save_model
from ssp_model.nn.method import Method

logger = logging.getLogger(__name__)


class Results(NamedTuple):
    """The files that a training writes: model, history and events."""

    model: Path
    history: Path
    events: Path


def join_models(parts: Mapping[str, Results], output: Results, train_set: str | Path, val_set: str | Path) -> None:
    """Join the results of trainings of one structure each.

    Parameters
    ----------
    parts : mapping
        The results of the training of each structure.
    output : Results
        Files to write. The model file says for each structure which epoch was kept. The history has a row for each
        epoch, with the columns of the structures side by side. The events are those of all trainings, each with its
        `structure`.
    train_set, val_set : path
        The datasets of these trainings.

    Raises
    ------
    InputError
        A model is not one of its structure alone, or the models differ in their method or data.
    """
    structures = sorted(parts)
    num_train, num_val = (samples_by_structure(path, structures) for path in (train_set, val_set))
    network, info = joined_model({structure: parts[structure].model for structure in structures}, num_val)
    with Dataset(train_set, structures) as opened:
        info = replace(info, signals=training_signals(opened))
    save_model(network, info, output.model)
    histories = {structure: pd.read_csv(parts[structure].history) for structure in structures}
    write_table(joined_history(histories, num_train, num_val), output.history)
    with replacing(output.events) as temporary, temporary.open("w", encoding="utf-8") as file:
        for structure in structures:
            for line in parts[structure].events.read_text(encoding="utf-8").splitlines():
                event = json.loads(line)
                file.write(json.dumps({"event": event.pop("event"), "structure": structure, **event}) + "\n")
    logger.info("joined the models of %s, validation MSE %.4f", ", ".join(structures), info.training["val_mse"])


def samples_by_structure(dataset: str | Path, structures: Sequence[str]) -> pd.Series:
    """Return the number of samples of each structure."""
    with Dataset(dataset, structures) as opened:
        return opened.index.task.value_counts()[list(structures)]


def joined_model(parts: Mapping[str, Path], num_val: pd.Series) -> tuple[Method, ModelInfo]:
    """Return the network of all structures, and what its file says.

    Parameters
    ----------
    parts : mapping
        The model file of each structure, in the order of the tasks.
    num_val : Series
        Number of validation samples of each structure. The validation MSE is the mean over all.
    """
    state: dict[str, torch.Tensor] = {}
    infos: dict[str, ModelInfo] = {}
    for task, (structure, path) in enumerate(parts.items()):
        network, infos[structure] = load_model(path)
        for name, value in network.state_dict().items():
            state[name.replace("networks.0.", f"networks.{task}.", 1)] = value
    first = next(iter(infos.values()))
    for structure, info in infos.items():
        if replace(info, structures=first.structures, training={}, signals=None) != replace(
            first, training={}, signals=None
        ):
            raise InputError(
                f"{parts[structure]} was trained in another way than {next(iter(parts.values()))}; train "
                "all structures with the same config."
            )
        if info.structures != (structure,):
            raise InputError(f"{parts[structure]} predicts {', '.join(info.structures)}, wanted is {structure} only.")
    with torch.device("meta"):
        network = make_network(first.method, len(parts), first.settings)
    network.load_state_dict(state, assign=True)
    kept = {name: {key: info.training[key] for key in ("epoch", "val_mse")} for name, info in infos.items()}
    mse = sum(kept[name]["val_mse"] * count for name, count in num_val.items()) / num_val.sum()
    training = {key: first.training[key] for key in ("experiment", "seed")} | {"val_mse": float(mse), "parts": kept}
    return network, replace(first, structures=tuple(parts), training=training, version=ssp_model.__version__)


def joined_history(histories: Mapping[str, pd.DataFrame], num_train: pd.Series, num_val: pd.Series) -> pd.DataFrame:
    """Return the history of trainings as if it were one.

    MSEs over all structures are means over samples. A training that has ended counts with its last values, as its
    network does not change any more. Times are summed, memory is the largest.

    Parameters
    ----------
    histories : mapping
        The history of each structure.
    num_train, num_val : Series
        Number of samples of each structure.
    """
    first = next(iter(histories.values()))
    by_epoch = {structure: history.set_index("epoch") for structure, history in histories.items()}

    def side_by_side(column: str) -> pd.DataFrame:
        return pd.DataFrame({structure: history[column] for structure, history in by_epoch.items()}).sort_index()

    def means(name: str, weights: pd.Series) -> pd.DataFrame:
        values = side_by_side(name)
        over_all = (values.ffill() * weights).sum(axis=1, skipna=False) / weights.sum()
        over_all = over_all.where(values.notna().any(axis=1))
        return pd.concat([over_all.rename(name), values.add_prefix(f"{name}_")], axis=1)

    seconds = side_by_side("seconds")
    measured = pd.DataFrame(
        {
            # the same in all, but for warm-up steps, which are other shares of an epoch
            "learning_rate": side_by_side("learning_rate").max(axis=1),
            "seconds": seconds.sum(axis=1),
            "crops_per_s": (seconds.notna() * num_train).sum(axis=1) / seconds.sum(axis=1),
            "peak_memory_mb": side_by_side("peak_memory_mb").max(axis=1),
        }
    )
    table = pd.concat([means("train_mse", num_train), measured, means("val_mse", num_val)], axis=1)
    table.insert(0, "experiment", first.experiment[0])
    table.insert(1, "seed", first.seed[0])
    table.insert(2, "epoch", table.index)
    return table
