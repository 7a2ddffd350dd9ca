"""How many windows are predicted at once: as many as fit in memory, measured by one window on trial."""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ssp_model.hardware import Autocast

MEMORY_ON_CPU = 2**30
"""Bytes that the windows predicted at once may take on a CPU; on a GPU they may take half of what is free."""

MOST_AT_ONCE = 32

SMALLEST_WINDOW = (16, 16, 16)


def windows_at_once(
    network: nn.Module, patch: Sequence[int], autocast: Autocast | None = None, memory: int | None = None
) -> int:
    """Return how many windows fit in memory at once, from 1 to `MOST_AT_ONCE`.

    A result may depend on this number by its last bits: torch computes a single window in another way than several.

    Parameters
    ----------
    network : Module
        (N, 1, Z, Y, X) to the same shape.
    patch : sequence of int
        Size of a window, Z, Y, X.
    autocast : callable, optional
        Makes the context that sets the arithmetic.
    memory : int, optional
        Bytes that the windows may take on a CPU; `MEMORY_ON_CPU` without. One window is predicted in any case.
    """
    device = next(network.parameters()).device
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # torch keeps the memory of tensors that are gone, and uses it again
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        limit, one = free // 2, peak_bytes_on_gpu(network, patch, autocast)
    else:
        limit, one = MEMORY_ON_CPU if memory is None else memory, window_bytes(network, patch)
    return min(max(limit // one, 1), MOST_AT_ONCE)


def window_bytes(network: nn.Module, patch: Sequence[int]) -> int:
    """Return the bytes of CPU memory that one window takes at most."""
    # memory grows with the voxels, so the smallest window tells it and takes no time
    return int(tensor_bytes(network, SMALLEST_WINDOW) * math.prod(patch) / math.prod(SMALLEST_WINDOW))


@torch.inference_mode()
def peak_bytes_on_gpu(network: nn.Module, patch: Sequence[int], autocast: Autocast | None = None) -> int:
    """Return the bytes of GPU memory that one window takes at most; torch's count of peak memory starts anew."""
    device = next(network.parameters()).device
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with autocast() if autocast else nullcontext():
        network(torch.zeros(1, 1, *patch, device=device))
    return torch.cuda.max_memory_allocated(device) - before


@torch.inference_mode()
def tensor_bytes(network: nn.Module, patch: Sequence[int]) -> int:
    """Return the bytes of all tensors that are alive at most while one window is predicted in float32."""
    with _AliveTensors() as alive:
        network(torch.zeros(1, 1, *patch))
    return alive.most


class _AliveTensors(TorchFunctionMode):
    """Count the bytes of the tensors that torch's functions return in this context, until they are gone.

    Attributes
    ----------
    now, most : int
        Bytes alive now, and at most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._counted: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function and count what it returns."""
        returned = func(*args, **(kwargs or {}))
        for value in returned if isinstance(returned, tuple | list) else (returned,):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return returned

    def _count(self, storage: torch.UntypedStorage) -> None:
        # tensors that share their memory count once
        place = storage.data_ptr()
        if place in self._counted:
            return
        self._counted.add(place)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, place, storage.nbytes())

    def _forget(self, place: int, num_bytes: int) -> None:
        self._counted.discard(place)
        self.now -= num_bytes
