"""What a training would need, without training."""

import math
from pathlib import Path

import torch

from ssp_model.data.dataset import Dataset
from ssp_model.hardware import choose_precision, device_name
from ssp_model.models.model_file import make_network
from ssp_model.training.extension import extend_network, settle
from ssp_model.training.recipe import Recipe


def describe_training(train_set: Path, recipe: Recipe) -> dict[str, str]:
    """Return parameters, memory and steps of a training, in words.

    Raises
    ------
    InputError
        The dataset lacks a structure that is wanted, or the model can't be extended.
    """
    recipe, base = settle(recipe, train_set)
    config = recipe.train
    with Dataset(train_set, recipe.structures) as dataset:
        samples, new = len(dataset), len(dataset.tasks)
    known, added = (len(base.structures), base.added) if base else (0, 0)
    with torch.device("meta"):
        network = make_network(recipe.model.method, known or new, recipe.model.model_dump(), added)
        if recipe.extends:
            extend_network(network, recipe.extends)
        crops = torch.empty(config.batch_size, 1, *config.patch)
    saved_bytes = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal saved_bytes
        saved_bytes += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network(crops, known + torch.arange(config.batch_size) % new)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    learning = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    precision = choose_precision(config.precision)
    # weights, and of those that learn gradients and Adam's two moments, in float32
    fixed_gib = (4 * parameters + 12 * learning) / 2**30
    activations_gib = saved_bytes / (1 if precision == "32-true" else 2) / 2**30
    steps = math.ceil(samples / config.batch_size)
    return {
        "parameters": f"{parameters:,}" + (f", of which {learning:,} learn" if learning < parameters else ""),
        "memory": f"about {fixed_gib + activations_gib:.1f} GiB in {precision}: weights, gradients and Adam "
        f"{fixed_gib:.1f}, activations {activations_gib:.1f}",
        "steps": f"{steps * config.epochs:,} ({steps} an epoch of {samples} samples, {config.epochs} epochs)",
        "device": device_name(),
    }
