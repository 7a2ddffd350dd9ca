"""When losses are looked at."""

import time
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric

from ssp_model.errors import InputError
from ssp_model.training.losses import MOST_STEPS, Losses
from ssp_model.training.progress import Epoch


@pytest.fixture
def losses(monkeypatch) -> Losses:
    """Losses whose clock stands still but for `wait`."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    index = pd.DataFrame({"task": ["dna", "zo1"], "image": ["a.czi", "b.czi"]})
    made = Losses(Fabric(accelerator="cpu"), SimpleNamespace(index=index))
    made.wait = lambda seconds: now.__setitem__(0, now[0] + seconds)
    return made


def take_step(losses: Losses, *values: float) -> None:
    numbers = torch.arange(len(values))
    losses.add(torch.tensor(values), SimpleNamespace(task=numbers, sample=numbers))


def test_slow_steps_are_looked_at_one_by_one_in_every_epoch(losses):
    for number in (1, 2):
        epoch = Epoch(number)
        losses.start_epoch()
        for _ in range(3):
            take_step(losses, 0.5, 1.5)
            losses.wait(10)
            assert losses.are_due()
            losses.collect(epoch)
        # nothing is left at the end of an epoch, which says nothing of how long a step takes
        losses.collect(epoch)
        losses.wait(1000)  # a validation
        assert (epoch.num_batches, epoch.seconds) == (3, 30)
        assert epoch.losses == [0.5, 1.5] * 3


def test_fast_steps_are_looked_at_together(losses):
    epoch = Epoch()
    take_step(losses, 0.5)
    losses.wait(0.01)
    losses.collect(epoch)
    for _ in range(MOST_STEPS - 1):
        take_step(losses, 0.5)
        assert not losses.are_due()
    take_step(losses, 0.5)
    assert losses.are_due()


def test_a_loss_that_is_no_number_is_named(losses):
    epoch = Epoch(number=4)
    take_step(losses, 0.5, 0.5)
    take_step(losses, 0.5, float("nan"))
    with pytest.raises(InputError, match="not a finite number in step 2 of epoch 4, for zo1 in b.czi; lower train"):
        losses.collect(epoch)
