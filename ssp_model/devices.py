"""Whether this machine has a GPU, without the seconds that importing torch takes."""

from pathlib import Path

GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What the drivers of NVIDIA, of AMD, and of Windows' Linux put into the file system."""


def has_gpu() -> bool:
    """Tell whether there is the driver of a GPU."""
    return any(Path(driver).exists() for driver in GPU_DRIVERS)
