"""Device and arithmetic."""

import pytest
import torch
from lightning_fabric import Fabric

from ssp_model.hardware import Compute


def seen(context) -> tuple:
    """What torch says of the arithmetic within a context, and the type of a product."""
    with context:
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), product.dtype


@pytest.mark.parametrize(("name", "in_fabric"), [("float32", "32-true"), ("bf16", "bf16-mixed"), ("fp16", "16-mixed")])
def test_arithmetic_is_that_of_fabric(monkeypatch, name, in_fabric):
    fabric = Fabric(accelerator="cpu", devices=1, precision=in_fabric)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    compute = Compute.choose(name)
    assert compute.device == fabric.device
    assert seen(compute.autocast()) == seen(fabric.autocast())


def test_the_device_is_a_gpu_where_there_is_one():
    assert Compute.choose().device.type == ("cuda" if torch.cuda.is_available() else "cpu")
