"""Reading microscope images, in any format that BioIO reads.

Axes are ZYX. Sizes are in um. Of a file with several scenes or time points the first is read.
"""

import logging
from pathlib import Path

import numpy as np
from bioio import BioImage

from ssp_model.errors import InputError

logger = logging.getLogger(__name__)


class Image:
    """One microscope image, of which channels are read one by one.

    Raises
    ------
    InputError
        The file is not an image that can be read; its text is the reason alone, without the file's name.
    """

    def __init__(self, path: str | Path) -> None:
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
            raise InputError(f"can't be read as an image ({_first_line(error)})") from None
        self.pixel_size_um: tuple[float | None, ...] = (sizes.Z, sizes.Y, sizes.X)
        if len(self._image.scenes) > 1 or self._image.dims.T > 1:
            logger.info("%s has several scenes or time points; the first is used", path)

    def read(self, channel: int) -> np.ndarray:
        """One channel, (Z, Y, X), in the file's own type.

        Raises
        ------
        InputError
            There is no such channel, or it can't be decoded.
        """
        if not 0 <= channel < self.channels:
            names = ", ".join(f"{i} {name}" for i, name in enumerate(self.channel_names))
            raise InputError(f"has no channel {channel} (it has: {names})")
        try:
            return np.asarray(self._image.get_image_data("ZYX", C=channel, T=0))
        except Exception as error:
            raise InputError(f"channel {channel} can't be decoded ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
