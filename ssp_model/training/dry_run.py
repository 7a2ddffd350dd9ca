"""What a training would need, without training."""

import math
from pathlib import Path

import torch

from ssp_model.config.schema import ModelConfig, TrainConfig
from ssp_model.data.dataset import Dataset
from ssp_model.hardware import choose_precision, device_name
from ssp_model.models.model_file import make_network


def describe_training(train_set: Path, model_config: ModelConfig, config: TrainConfig) -> dict[str, str]:
    """Return parameters, memory and steps of a training, in words."""
    with Dataset(train_set) as dataset:
        samples, tasks = len(dataset), len(dataset.tasks)
    with torch.device("meta"):
        network = make_network(model_config.method, tasks, model_config.model_dump())
        crops = torch.empty(config.batch_size, 1, *config.patch)
    saved_bytes = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal saved_bytes
        saved_bytes += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network(crops, torch.arange(config.batch_size) % tasks)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    precision = choose_precision(config.precision)
    # weights, gradients and Adam's two moments, in float32
    fixed_gib = 16 * parameters / 2**30
    activations_gib = saved_bytes / (1 if precision == "32-true" else 2) / 2**30
    steps = math.ceil(samples / config.batch_size)
    return {
        "parameters": f"{parameters:,}",
        "memory": f"about {fixed_gib + activations_gib:.1f} GiB in {precision}: weights, gradients and Adam "
        f"{fixed_gib:.1f}, activations {activations_gib:.1f}",
        "steps": f"{steps * config.epochs:,} ({steps} an epoch of {samples} samples, {config.epochs} epochs)",
        "device": device_name(),
    }
