"""An array as an image."""

import numpy as np
import pytest

from ssp_model.errors import InputError
from ssp_model.prediction.array_image import opened_image
from tests.helpers import image_of


def test_an_array_is_an_image_of_one_channel():
    array = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    with opened_image(array, (0.3, 0.1, 0.2)) as image:
        assert (image.shape_zyx, image.pixel_size_um, image.channel_names) == ((2, 3, 4), (0.3, 0.1, 0.2), ["signal"])
        np.testing.assert_array_equal(image.read(0), array)


def test_an_image_stays_as_it_is():
    given = image_of(np.zeros((2, 3, 4)))
    with opened_image(given) as image:
        assert image is given
    with pytest.raises(InputError, match="^a.czi has a voxel size already"), opened_image(given, (1, 1, 1)):
        pass


@pytest.mark.parametrize("shape", [(3, 4), (1, 2, 3, 4), (0, 3, 4)])
def test_an_array_of_another_shape_is_refused(shape):
    message = r"^the array has the shape .* but should be \(Z, Y, X\)"
    with pytest.raises(InputError, match=message), opened_image(np.zeros(shape)):
        pass
