"""From an image's own grid to the model's and back."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from ssp_model.errors import InputError
from ssp_model.prediction import scratch
from ssp_model.prediction.grid import factors_to_model, on_image_grid, sizes_on_model_grid
from tests.helpers import image_of


def test_factors_to_a_model(caplog):
    raw = np.zeros((4, 8, 8))
    info = SimpleNamespace(voxel_size_um=(0.29, 0.29, 0.29), preprocess={"scale": (1, 0.37, 0.37)})
    assert factors_to_model(image_of(raw, (0.29, 0.145, 0.58)), info) == pytest.approx((1, 0.5, 2))
    assert caplog.text == ""
    # the axes whose sizes are known are resized by them
    assert factors_to_model(image_of(raw, (None, 0.145, 0.58)), info) == pytest.approx((1, 0.5, 2))
    assert "a.czi gives no pixel size along Z: it is resized there by the factor" in caplog.text
    assert factors_to_model(image_of(raw), info) == (1, 0.37, 0.37)
    info.preprocess["scale"] = None
    with pytest.raises(InputError, match=r"^a.czi has no usable pixel size along Z, .*; give its voxel size"):
        factors_to_model(image_of(raw, (None, 0.1, 0.1)), info)


def test_sizes_at_the_models_voxels_are_only_those_that_are_known():
    info = SimpleNamespace(voxel_size_um=(0.29, 0.29, 0.29))
    assert sizes_on_model_grid((0.3, None, 0.1), (0.3 / 0.29, 0.37, 0.1 / 0.29), info) == (0.29, None, 0.29)
    info.voxel_size_um = None
    assert sizes_on_model_grid((0.3, None, 0.1), (1, 0.37, 0.5), info) == (0.3, None, 0.2)


@pytest.mark.parametrize("shape", [(7, 30, 21), (3, 5, 6), (9, 13, 1), (4, 13, 11)])
def test_a_volume_is_brought_back_to_exactly_the_shape_of_its_image(shape, tmp_path):
    volume = np.random.default_rng(0).normal(size=(4, 13, 11)).astype(np.float32)
    planes = np.stack(list(on_image_grid(volume, shape)))
    assert planes.shape == shape
    zoomed = ndimage.zoom(volume.astype(np.float64), np.divide(shape, volume.shape), mode="nearest")
    np.testing.assert_allclose(planes, zoomed, atol=1e-5)
    # the same from files
    with scratch.Volumes(tmp_path, memory=0) as volumes:
        stored = volumes.place("a", volume.shape, volume.dtype)
        stored[:] = volume
        from_file = np.stack(list(on_image_grid(stored, shape, volumes.place)))
    np.testing.assert_allclose(from_file, planes, atol=1e-6)
