"""RepMode's ablations (CVPR 2023): the method with one part changed.

Each is made by settings of the method; `nn/methods/repmode.py` says how, and what the paper leaves open.
"""

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


def _experts(*experts: str) -> dict[str, Any]:
    return {"experts": experts}


ABLATIONS = {
    "decoder_only": Ablation("MoDE only in the decoder", {"mode_in": "decoder"}, (0.5097, 0.4139, 0.4590)),
    "encoder_only": Ablation("MoDE only in the encoder", {"mode_in": "encoder"}, (0.5079, 0.4184, 0.4607)),
    "without_1": Ablation(
        "Without the 1^3 expert", _experts("conv5", "conv3", "pool3", "pool5"), (0.5027, 0.4106, 0.4662)
    ),
    "without_3": Ablation("Without the 3^3 experts", _experts("conv5", "conv1", "pool5"), (0.5080, 0.4141, 0.4605)),
    "without_5": Ablation("Without the 5^3 experts", _experts("conv3", "conv1", "pool3"), (0.5017, 0.4108, 0.4672)),
    "without_conv": Ablation("Without the convolution experts", _experts("pool3", "pool5"), (0.5631, 0.4346, 0.4042)),
    "without_pool": Ablation(
        "Without the pooled experts", _experts("conv5", "conv3", "conv1"), (0.5037, 0.4101, 0.4651)
    ),
    "no_pooling": Ablation(
        "No pooling in the pooled experts",
        _experts("conv5", "conv3", "conv1", "pool1", "pool1"),
        (0.4999, 0.4112, 0.4691),
    ),
    "pool_3": Ablation(
        "All pooling 3^3", _experts("conv5", "conv3", "conv1", "pool3", "pool3"), (0.4974, 0.4072, 0.4716)
    ),
    "pool_5": Ablation(
        "All pooling 5^3", _experts("conv5", "conv3", "conv1", "pool5", "pool5"), (0.4964, 0.4091, 0.4725)
    ),
    "gaussian_embedding": Ablation("Gaussian task embedding", {"task_embedding": "gaussian"}, (0.5071, 0.4155, 0.4616)),
    "two_layer_gate": Ablation("Gate of two layers", {"gate_layers": 2}, (0.4980, 0.4060, 0.4710)),
    "sigmoid_gate": Ablation("Sigmoid gate", {"gate": "sigmoid"}, (0.4992, 0.4094, 0.4698)),
}
"""Every ablation of the paper, by name. RepMode itself has .4956, .4078 and .4735."""
