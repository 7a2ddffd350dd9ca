"""Images read by BioIO, and what is said of those that can't be."""

import numpy as np
import pytest

from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import write_ome_tiff
from ssp_model.images.reader import Image


@pytest.fixture
def image(tmp_path):
    channels = list(np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32))
    write_ome_tiff(tmp_path / "000001-a.ome.tif", channels, ["light", "dna"], (0.3, 0.1, 0.1))
    return tmp_path / "000001-a.ome.tif", channels


def test_channels_and_sizes(image):
    path, channels = image
    read = Image(path)
    assert (read.channel_names, read.channels, read.shape_zyx) == (["light", "dna"], 2, (3, 4, 5))
    assert read.pixel_size_um == (0.3, 0.1, 0.1)
    np.testing.assert_array_equal(read.read(1), channels[1])
    assert read.channel_text(1) == f"{path} channel 1 (dna)"


@pytest.mark.parametrize("channel", [-1, 2])
def test_a_channel_that_is_not_there(image, channel):
    with pytest.raises(InputError, match=rf"^data/a.czi has no channel {channel}; it has 0 light, 1 dna\.$"):
        Image(image[0], name="data/a.czi").read(channel)


@pytest.mark.parametrize("content", [b"no image", b""])
def test_errors_name_the_file_as_the_user_knows_it(tmp_path, content):
    (tmp_path / "000001-a.czi").write_bytes(content)
    with pytest.raises(InputError, match=r"^data/a.czi can't be read as an image \(.*\)\.$") as raised:
        Image(tmp_path / "000001-a.czi", name="data/a.czi")
    assert "000001" not in str(raised.value)
    with pytest.raises(InputError, match=rf"^{tmp_path}/000001-a.czi can't be read as an image"):
        Image(tmp_path / "000001-a.czi")
