"""OME-TIFF, written and read."""

import numpy as np
import pytest
import tifffile

from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import read_ome_tiff, write_ome_tiff

SHAPES = [(3, 4, 5, 6), (1, 4, 5, 6), (3, 1, 5, 6), (1, 1, 5, 6)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("voxel_size_um", [(1.0, 0.5, 0.25), None])
def test_what_is_written_is_read(tmp_path, shape, voxel_size_um):
    channels = list(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    names = ["transmitted light", "ß & <target>", "prediction"][: len(channels)]
    write_ome_tiff(tmp_path / "a.ome.tif", channels, names, voxel_size_um)
    image = read_ome_tiff(tmp_path / "a.ome.tif")
    assert image.channel_names == names
    assert image.voxel_size_um == voxel_size_um
    assert [channel.shape for channel in image.channels] == [shape[1:]] * shape[0]
    assert all((read == written).all() for read, written in zip(image.channels, channels, strict=True))


def test_what_is_no_such_file_is_refused(tmp_path):
    path = tmp_path / "a.ome.tif"
    with pytest.raises(InputError, match=r"a.ome.tif can't be read as an OME-TIFF"):
        read_ome_tiff(path)
    path.write_text("no image")
    with pytest.raises(InputError, match=r"a.ome.tif can't be read as an OME-TIFF"):
        read_ome_tiff(path)
    tifffile.imwrite(path, np.zeros((4, 5), np.float32), ome=False)
    with pytest.raises(InputError, match=r"a.ome.tif is damaged or not an OME-TIFF"):
        read_ome_tiff(path)
    tifffile.imwrite(path, np.zeros((2, 3, 4, 5), np.float32), ome=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"a.ome.tif has the axes T"):
        read_ome_tiff(path)
    sizes = {f"PhysicalSize{axis}": 1.0 for axis in "ZYX"} | {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    tifffile.imwrite(path, np.zeros((3, 4, 5), np.float32), ome=True, metadata={"axes": "ZYX", **sizes})
    with pytest.raises(InputError, match=r"a.ome.tif gives its voxel size in nm, nm, nm"):
        read_ome_tiff(path)


def test_a_file_cut_short_is_refused(tmp_path):
    noise = np.random.default_rng(0).normal(size=(8, 64, 64)).astype(np.float32)
    write_ome_tiff(tmp_path / "a.ome.tif", [noise], ["a"], None)
    content = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "a.ome.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a.ome.tif is damaged or not"):
        read_ome_tiff(tmp_path / "a.ome.tif")
