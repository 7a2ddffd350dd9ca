"""Predict subcellular structures from label-free 3D microscopy (RepMode, CVPR 2023).

`Predictor` is imported when it is first used, so that importing the package takes no time.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssp_model.prediction.predictor import Predictor

__all__ = ["Predictor", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Predictor":
        from ssp_model.prediction.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
