"""Read microscope images, in any format that BioIO reads.

Axes are ZYX. Sizes are in um. Of a file with several scenes or time points the first is read.
"""

import logging
from pathlib import Path

import numpy as np

from ssp_model.errors import InputError

logger = logging.getLogger(__name__)


class Image:
    """One microscope image; its channels are read one by one.

    Parameters
    ----------
    path : path
        The file.
    name : str, optional
        What the user calls it, where the file was unpacked under another name.

    Attributes
    ----------
    name : str
        The name in errors.
    channel_names : list of str
    channels : int
        Number of channels.
    shape_zyx : tuple of int
        Voxels of a channel.
    pixel_size_um : tuple of float
        Z, Y, X; None for an axis whose size the file does not give.

    Raises
    ------
    InputError
        The file is not an image that can be read.
    """

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        # it takes over a second to import, with its parsers of metadata
        from bioio import BioImage

        self.name = name or str(path)
        self._path = str(path)
        try:
            self._image = BioImage(path)
            self.channel_names = [str(name) for name in self._image.channel_names]
            self.channels: int = self._image.dims.C
            self.shape_zyx: tuple[int, int, int] = (
                self._image.dims.Z,
                self._image.dims.Y,
                self._image.dims.X,
            )
            sizes = self._image.physical_pixel_sizes
        # each reader raises its own kinds of errors for a file it can't read
        except Exception as error:
            raise InputError(f"{self.name} can't be read as an image ({self._reason(error)}).") from None
        self.pixel_size_um: tuple[float | None, ...] = (sizes.Z, sizes.Y, sizes.X)
        if len(self._image.scenes) > 1 or self._image.dims.T > 1:
            logger.info("%s has several scenes or time points; the first is used", self.name)

    def read(self, channel: int) -> np.ndarray:
        """Return one channel, (Z, Y, X), in the file's own type.

        Raises
        ------
        InputError
            There is no such channel, or it can't be decoded.
        """
        if not 0 <= channel < self.channels:
            names = ", ".join(f"{i} {name}" for i, name in enumerate(self.channel_names))
            raise InputError(f"{self.name} has no channel {channel}; it has {names}.")
        try:
            return np.asarray(self._image.get_image_data("ZYX", C=channel, T=0))
        except Exception as error:
            raise InputError(f"{self.name} channel {channel} can't be decoded ({self._reason(error)}).") from None

    def channel_text(self, channel: int) -> str:
        """Return what to call a channel in a message: the image, number and name."""
        return f"{self.name} channel {channel} ({self.channel_names[channel]})"

    def _reason(self, error: Exception) -> str:
        first_line = next(iter(str(error).splitlines()), "") or type(error).__name__
        return first_line.replace(self._path, self.name)
