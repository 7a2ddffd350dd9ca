"""What the machine has: where to compute, and in which arithmetic."""

from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
_BY_NAME: dict[str, Precision] = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def choose_precision(wanted: str = "auto") -> Precision:
    """Arithmetic by name, in Lightning Fabric's terms; `auto` takes the fastest that the hardware has units for."""
    if wanted != "auto":
        return _BY_NAME[wanted]
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    has_units = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if has_units else "32-true"


def device_name() -> str:
    """What a person calls the processor that computes."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"
