"""PIPO-FAN: what is trained, and how scales are mixed."""

import torch

from ssp_model.nn.methods.pipo_fan import PIPOFAN


def batch(*tasks: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(len(tasks), 1, 16, 32, 32), torch.tensor(tasks)


def test_pipo_fan_trains_each_scale_and_their_mixture() -> None:
    torch.manual_seed(0)
    network = PIPOFAN(3, width=2).eval()
    x, task = batch(2, 0)
    (fused, _), *scales = network.supervised(x, task)
    assert [weight for _, weight in scales] == [0.2] * 5
    maps = network.maps(x)
    weights = torch.stack([network.score(map_) for map_ in maps]).softmax(0)
    assert torch.allclose(weights.sum(0), torch.ones(2))
    wanted = [sum(weights[s, n] * maps[s][n, t] for s in range(5)) for n, t in enumerate(task)]
    assert torch.allclose(fused[:, 0], torch.stack(wanted), atol=1e-6)
    for (prediction, _), map_ in zip(scales, maps, strict=True):
        assert torch.equal(prediction[:, 0], map_[torch.arange(2), task])
