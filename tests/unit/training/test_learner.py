"""What one step of learning does, option by option."""

import pytest
import torch
from lightning_fabric import Fabric

from ssp_model.nn.methods.repmode import RepMode
from ssp_model.training.learner import Learner, learning_rate_factor
from ssp_model.training.loader import Batch

STEPS = 4


def batch(x, y):
    return Batch(x, y, task=torch.tensor([0, 1]), sample=torch.tensor([0, 1]), total=2)


def learn(config, steps=1, **options):
    """A learner after some steps on always the same crops."""
    torch.manual_seed(0)
    learner = Learner(Fabric(accelerator="cpu"), RepMode(2, 1), config.model_copy(update=options), STEPS)
    x, y = torch.randn(2, 2, 1, 16, 16, 16)
    learner.model.train()
    for _ in range(steps):
        learner.step(batch(x, y))
    return learner


def weights(learner):
    return torch.cat([parameter.detach().flatten() for parameter in learner.network.parameters()])


def gradient_norm(learner):
    return torch.cat([parameter.grad.flatten() for parameter in learner.network.parameters()]).norm()


def test_gradients_are_clipped(train_config):
    assert gradient_norm(learn(train_config)) > 1e-2
    assert gradient_norm(learn(train_config, gradient_clip=1e-3)) == pytest.approx(1e-3, rel=1e-3)


def test_weights_decay_apart_from_the_gradient(train_config):
    start = weights(learn(train_config, steps=0))
    plain, decayed = weights(learn(train_config)), weights(learn(train_config, weight_decay=0.5))
    torch.testing.assert_close(plain - decayed, 1e-2 * 0.5 * start, atol=1e-6, rtol=1e-3)


def test_running_average_of_the_weights(train_config):
    # the first update copies, the later ones mix
    one, two = (weights(learn(train_config, steps)) for steps in (1, 2))
    learner = learn(train_config, 2, ema=0.9)
    average = torch.cat([parameter.flatten() for parameter in learner.averaged_network.parameters()])
    torch.testing.assert_close(average, 0.9 * one + 0.1 * two)
    torch.testing.assert_close(weights(learner), two)


def test_without_average_the_network_itself_is_kept(train_config):
    learner = learn(train_config)
    assert learner.averaged_network is learner.network


def test_learning_rate_follows_the_schedule(train_config):
    learner = learn(train_config, steps=0, schedule="cosine", warmup_steps=2)
    rates = [learner.learning_rate]
    x, y = torch.randn(2, 2, 1, 16, 16, 16)
    for _ in range(STEPS):
        learner.step(batch(x, y))
        rates.append(learner.learning_rate)
    assert rates == pytest.approx([0.5e-2, 1e-2, 1e-2, 0.5e-2, 0])


def test_schedules(train_config):
    assert [learning_rate_factor(step, 10, train_config) for step in (0, 9)] == [1, 1]
    cosine = train_config.model_copy(update={"schedule": "cosine", "warmup_steps": 2})
    factors = [learning_rate_factor(step, 10, cosine) for step in range(11)]
    assert factors[:3] == [0.5, 1, 1]
    assert factors[6] == pytest.approx(0.5)
    assert factors[10] == pytest.approx(0)


def test_a_state_taken_up_learns_on_to_the_bit(train_config):
    options = {"ema": 0.9, "schedule": "cosine", "gradient_clip": 1.0}
    wanted = learn(train_config, 3, **options)
    resumed = learn(train_config, 0, **options)
    resumed.load_state_dict(learn(train_config, 2, **options).state_dict())
    torch.manual_seed(0)
    RepMode(2, 1)  # draws the numbers that come before the crops
    x, y = torch.randn(2, 2, 1, 16, 16, 16)
    resumed.step(batch(x, y))
    assert torch.equal(weights(resumed), weights(wanted))
    assert all(
        torch.equal(*pair)
        for pair in zip(
            resumed.averaged_network.state_dict().values(), wanted.averaged_network.state_dict().values(), strict=True
        )
    )
