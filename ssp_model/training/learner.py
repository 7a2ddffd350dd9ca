"""A network and what it is trained with: optimiser, schedule, running average of the weights."""

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
from ssp_model.nn.repmode import RepMode


class Learner:
    """RepMode in training: mean squared error, Adam (section 4.1), and the options of the configuration.

    Parameters
    ----------
    fabric : Fabric
        Device, arithmetic and processes.
    tasks, width : int
        Of the network.
    config : TrainConfig
    steps : int
        Of the whole training, for the schedule.
    """

    def __init__(self, fabric: Fabric, tasks: int, width: int, config: TrainConfig, steps: int) -> None:
        self.fabric, self.config = fabric, config
        self.network = RepMode(tasks, width)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if fabric.world_size > 1:
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
        self.schedule = LambdaLR(optimiser, partial(learning_rate_factor, steps=steps, config=config))

    def step(self, x: Tensor, y: Tensor, task: Tensor, batch_size: int) -> Tensor:
        """Learn from a batch, or from this process's share of one.

        Parameters
        ----------
        x, y : Tensor
            Signal and target, (N, 1, D, H, W).
        task : Tensor
            The structure that each target shows, (N,).
        batch_size : int
            Of the whole batch, of all processes.

        Returns
        -------
        Tensor
            Mean squared error of each sample, (N,).
        """
        prediction = self.model(x.contiguous(memory_format=torch.channels_last_3d), task)
        loss_N = (prediction - y).square().mean(dim=(1, 2, 3, 4))
        self.optimiser.zero_grad()
        # processes' gradients are averaged: this makes them those of the mean over the whole batch
        self.fabric.backward(loss_N.sum() / batch_size * self.fabric.world_size)
        if self.config.gradient_clip is not None:
            self.fabric.clip_gradients(self.model, self.optimiser, max_norm=self.config.gradient_clip)
        self.optimiser.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return loss_N.detach()

    @property
    def learning_rate(self) -> float:
        """That of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def best_network(self) -> RepMode:
        """The network to validate and to keep: the running average of the weights, if there is one."""
        return self.network if self.average is None else self.average.module  # type: ignore[return-value]

    def state_dict(self) -> dict[str, Any]:
        """All that changes, random numbers included."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "random": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])


def learning_rate_factor(step: int, steps: int, config: TrainConfig) -> float:
    """What the learning rate is multiplied by at a step, counted from 0."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
