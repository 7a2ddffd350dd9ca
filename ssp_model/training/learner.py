"""A network and what trains it: optimizer, learning rate schedule, running average of the weights."""

import math
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ssp_model.config.schema import TrainConfig
from ssp_model.nn.batch_norm import synchronise_batch_norm
from ssp_model.nn.method import Method
from ssp_model.training.loader import Batch


class Learner:
    """A network in training: mean squared error, Adam (RepMode, section 4.1), and the options of the config.

    Parameters
    ----------
    fabric : Fabric
        Device, precision and processes.
    network : Method
        With new weights.
    config : TrainConfig
    num_steps : int
        Number of steps of the whole training, for the schedule.
    """

    def __init__(self, fabric: Fabric, network: Method, config: TrainConfig, num_steps: int) -> None:
        self.fabric, self.config = fabric, config
        self.network: Method = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if fabric.world_size > 1:
            synchronise_batch_norm(network, fabric.device)
        # without weight decay this is Adam to the bit
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
        self.model, self.optimizer = fabric.setup(network, optimizer)
        self.model.mark_forward_method("supervised")
        self.average = None
        if config.ema is not None:
            update = get_ema_multi_avg_fn(config.ema)
            self.average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
        self.schedule = LambdaLR(optimizer, partial(learning_rate_factor, num_steps=num_steps, config=config))

    def step(self, batch: Batch) -> Tensor:
        """Learn from a batch, and return the mean squared error of each crop, (N,)."""
        x = batch.x.contiguous(memory_format=torch.channels_last_3d)
        errors = [
            (weight, (prediction - batch.y).square().mean(dim=(1, 2, 3, 4)))
            for prediction, weight in self.model.supervised(x, batch.task)
        ]
        loss_N = sum(weight * error_N for weight, error_N in errors)
        self.optimizer.zero_grad()
        # gradients are averaged over processes; this makes them the gradient of the mean over the whole batch
        self.fabric.backward(loss_N.sum() / batch.total * self.fabric.world_size)
        if self.config.gradient_clip is not None:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.gradient_clip)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return errors[0][1].detach()

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    @property
    def averaged_network(self) -> Method:
        """The network to validate and to save: with the running average of the weights, if there is one."""
        return self.network if self.average is None else self.average.module  # type: ignore[return-value]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, including the state of random numbers."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "random": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what a checkpoint holds."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])


def learning_rate_factor(step: int, num_steps: int, config: TrainConfig) -> float:
    """Return the factor of the learning rate at a step, counted from 0."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(num_steps - config.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
