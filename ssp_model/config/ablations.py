"""RepMode's ablations (CVPR 2023): the method with one part changed."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ablation:
    """RepMode with one part changed.

    Attributes
    ----------
    title : str
        What is changed.
    settings : dict
        Settings of `RepModeConfig` that differ from the published method.
    published : tuple of float
        MSE, MAE and R2 over all test images in the paper.
    """

    title: str
    settings: dict[str, Any]
    published: tuple[float, float, float]


ABLATIONS = {"sigmoid_gate": Ablation("Sigmoid gate", {}, (0.4992, 0.4094, 0.4698))}
"""Every ablation of the paper, by name."""
