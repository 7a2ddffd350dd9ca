"""Prediction in a microscope file."""

from types import SimpleNamespace

import numpy as np
import pytest

from ssp_model.data.preprocess import to_model_voxels
from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import read_ome_tiff, write_ome_tiff
from ssp_model.images.reader import open_file
from ssp_model.prediction.predict_file import factors_to_model, predict_file
from ssp_model.prediction.predictor import Predictor
from tests.helpers import OVERLAPPING, image_of


@pytest.fixture
def image(tmp_path):
    """Voxels of half the model's size in X, and of twice its size in Z."""
    channels = list(np.random.default_rng(0).normal(100, 5, size=(2, 9, 20, 40)).astype(np.float32))
    write_ome_tiff(tmp_path / "image.ome.tif", channels, ["dna", "light"], (0.6, 0.3, 0.15))
    return tmp_path / "image.ome.tif"


def test_an_image_is_brought_to_the_models_voxel_size(model, image, tmp_path):
    predictor = Predictor(model, OVERLAPPING, "float32")
    predict_file(predictor, image, 1, ["zo1", "tom20", "zo1"], tmp_path / "out/prediction.ome.tif")
    written = read_ome_tiff(tmp_path / "out/prediction.ome.tif")
    assert written.channel_names == ["transmitted light", "zo1", "tom20"]
    assert written.voxel_size_um == (0.3, 0.3, 0.3)
    signal, _ = to_model_voxels(open_file(image).image(), 1, (2, 1, 0.5))
    assert signal.shape == (18, 20, 20)
    np.testing.assert_allclose(written.channels[0], signal, atol=1e-5)
    for structure, channel in zip(("zo1", "tom20"), written.channels[1:], strict=True):
        np.testing.assert_allclose(channel, predictor.predict(written.channels[0], structure), atol=1e-6)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["prediction.ome.tif"]


def test_all_structures_without_a_choice(model, image, tmp_path):
    predict_file(Predictor(model, OVERLAPPING, "float32"), image, 1, [], tmp_path / "prediction.ome.tif")
    assert read_ome_tiff(tmp_path / "prediction.ome.tif").channel_names == ["transmitted light", "tom20", "zo1"]


@pytest.mark.parametrize(
    ("channel", "structures", "message"),
    [
        (5, [], r"image.ome.tif has no channel 5; it has 0 dna, 1 light\.$"),
        (1, ["golgi"], "does not predict 'golgi'"),
    ],
)
def test_what_can_not_be_predicted(model, image, tmp_path, channel, structures, message):
    with pytest.raises(InputError, match=message):
        predict_file(Predictor(model, OVERLAPPING), image, channel, structures, tmp_path / "out/prediction.ome.tif")
    assert not list((tmp_path / "out").glob("*"))


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
