"""Extend a trained model by one structure (task-incremental learning, RepMode's poster).

Only what is new learns. What the model knew stays the same to the bit: weights, statistics of batch norms, and how
images are prepared for it (patch, voxel size, preprocess).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ssp_model
from ssp_model.config.schema import parse_model
from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.models.model_file import ModelInfo, load_model, read_info
from ssp_model.nn.method import Method
from ssp_model.training.recipe import Recipe


def settle(recipe: Recipe, train_set: Path) -> tuple[Recipe, ModelInfo | None]:
    """Complete the recipe of an extension: with the settings of the model, and with the structure that is new.

    Parameters
    ----------
    recipe : Recipe
    train_set : path
        Dataset for training.

    Returns
    -------
    tuple
        The recipe, and what the file says about the model that is extended; None for a model that is new.

    Raises
    ------
    InputError
        The file is not a model file, or there is not exactly one new structure.
    """
    if recipe.extends is None:
        return recipe, None
    info = read_info(recipe.extends)
    with Dataset(train_set) as dataset:
        structure = new_structure(info, recipe, dataset)
    model = parse_model({**info.settings, "method": info.method})
    return replace(recipe, model=model, structures=(structure,)), info


def new_structure(info: ModelInfo, recipe: Recipe, dataset: Dataset) -> str:
    """Return the one structure that a model does not know, of those that are wanted, or of a dataset.

    Raises
    ------
    InputError
        There is none, or there are several.
    """
    wanted = recipe.structures or dataset.tasks
    unknown = [structure for structure in wanted if structure not in info.structures]
    where = f"{dataset.path} has samples of" if recipe.structures is None else "Wanted is"
    if not unknown:
        raise InputError(
            f"{where} {', '.join(wanted)}, which {recipe.extends} knows already; to extend the model, give a structure "
            "that it does not know."
        )
    if len(unknown) > 1:
        raise InputError(
            f"{where} {', '.join(unknown)}, which {recipe.extends} does not know, but a model is extended by one "
            "structure at a time; name one of them."
        )
    return unknown[0]


def extended_network(model: Path, train_set: Dataset, val_set: Dataset) -> Method:
    """Read a model, and extend its network by one task.

    Raises
    ------
    InputError
        The method has no such way, or the datasets were made in another way than those of the model.
    """
    network, info = load_model(model)
    for dataset in (train_set, val_set):
        dataset.check_voxel_size(info.voxel_size_um)
        for key in ("scale", "voxel_size_um"):
            found, wanted = dataset.config["preprocess"].get(key), info.preprocess.get(key)
            if found != wanted:
                raise InputError(
                    f"{dataset.path} was made with the preprocess.{key} {_shown(found)}, but the images of {model} "
                    f"with {_shown(wanted)}; make the dataset with the value of the model."
                )
    extend_network(network, model)
    return network


def extend_network(network: Method, model: Path) -> None:
    """Extend the network of a model file by one task.

    Raises
    ------
    InputError
        The method has no such way.
    """
    try:
        network.extend()
    except NotImplementedError:
        raise InputError(
            f"{model} is a model of {network.title}, which can't be extended by a structure; train a model on all "
            "structures, or extend one of another method, such as repmode."
        ) from None


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def extended_info(
    base: ModelInfo, added: Sequence[str], *, config: dict[str, Any], training: dict[str, Any]
) -> ModelInfo:
    """Return what the file of an extended model says: how it is used, and for which images, is as before.

    Parameters
    ----------
    base : ModelInfo
        The model that was extended.
    added : sequence of str
        The new structure.
    config, training : dict
        Those of the new structure. The entry `extends` of `training` tells how the model before was trained.
    """
    return replace(
        base,
        structures=(*base.structures, *added),
        added=base.added + len(added),
        config=config,
        training=training | {"extends": base.training},
        version=ssp_model.__version__,
    )
