"""Other formats (ND2, LIF and more), by BioIO and its plugins, which the extra `formats` installs."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ssp_model.errors import InputError
from ssp_model.images.description import SceneInfo, pixel_size

PLUGINS = {".nd2": "bioio-nd2", ".lif": "bioio-lif", ".dv": "bioio-dv", ".sldy": "bioio-sldy", ".ims": "bioio-imaris"}


class BioioFormat:
    """A file that a plugin of BioIO reads, opened."""

    def __init__(self, path: Path) -> None:
        try:
            from bioio import BioImage
            from bioio_base.exceptions import UnsupportedFileFormatError
        except ImportError:
            raise InputError(_not_readable(path)) from None
        try:
            with _silent():
                self._image = BioImage(path)
        except UnsupportedFileFormatError:
            raise InputError(_not_readable(path)) from None
        self.name = path.suffix.lstrip(".").upper() or "file"
        self.scenes = [self._describe(number) for number in range(len(self._image.scenes))]

    def close(self) -> None:
        """Let go of the file; BioIO opens it for each plane."""
        del self._image

    def missing(self, scene: int, time: int, channel: int) -> list[int]:
        """Return nothing: missing planes are not known here."""
        return []

    def covered(self, scene: int, time: int, channel: int) -> None:
        """Return None: gaps between tiles are not known here."""

    def plane(self, scene: int, time: int, channel: int, z: int) -> np.ndarray:
        """Return a plane, (Y, X), or (Y, X, samples) in colour."""
        self._image.set_scene(scene)
        samples = "S" if "S" in self._image.dims.order else ""
        return np.asarray(self._image.get_image_dask_data(f"YX{samples}", T=time, C=channel, Z=z).compute())

    def _describe(self, number: int) -> SceneInfo:
        image: Any = self._image
        image.set_scene(number)
        shape = (image.dims.Z, image.dims.Y, image.dims.X)
        names = tuple(str(name) for name in image.channel_names or ()) or ("channel 0",)
        sizes = image.physical_pixel_sizes
        colours = "S" in image.dims.order and image.dims.S > 1
        return SceneInfo(
            name=str(image.scenes[number]),
            num_times=image.dims.T,
            channel_names=names,
            shape_zyx=shape,
            dtype=np.dtype(image.dtype),
            pixel_size=pixel_size([sizes.Z, sizes.Y, sizes.X], ["µm"] * 3, "BioIO", shape),
            colour_channels=frozenset(range(len(names)) if colours else ()),
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Keep quiet about readers that BioIO tries in vain: the error that follows says what the user can do."""
    log = logging.getLogger("bioio.bio_image")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before


def _not_readable(path: Path) -> str:
    plugin = PLUGINS.get(path.suffix.lower())
    if plugin:
        return f"{path} needs the BioIO plugin {plugin} to be read; install it: pip install bioio {plugin}."
    return (
        f"{path} is of no format that can be read here; save it as OME-TIFF, or install the BioIO plugin of its format."
    )
