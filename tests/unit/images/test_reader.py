"""Files, their scenes, time points and channels, and what is said of those that can't be read."""

import logging
import os

import numpy as np
import pytest
import tifffile

from ssp_model.errors import InputError
from ssp_model.images.reader import open_file

VOXELS = np.random.default_rng(0).integers(0, 1000, (3, 2, 4, 5, 6), np.uint16)
"""(time, channel, Z, Y, X)"""


@pytest.fixture
def path(tmp_path):
    """A file of two scenes, the first with three time points."""
    path = tmp_path / "000001-a.ome.tif"
    sizes = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}
    with tifffile.TiffWriter(path, ome=True) as file:
        names = {"Channel": {"Name": ["Light", "dna"]}}
        file.write(VOXELS, metadata={"axes": "TCZYX", "Name": "first", **names, **sizes}, photometric="minisblack")
        file.write(VOXELS[0, :, :2], metadata={"axes": "CZYX", "Name": "second"}, photometric="minisblack")
    return path


def test_channels_and_sizes(path):
    image = open_file(path).image(0, 1)
    assert (image.channel_names, image.shape_zyx) == (["Light", "dna"], (4, 5, 6))
    assert image.pixel_size_um == (0.3, 0.1, 0.1)
    np.testing.assert_array_equal(image.read(1), VOXELS[1, 1])
    assert image.channel_text("dna") == f"{path}, scene 0 (first), time 1 channel 1 (dna)"


def test_sizes_that_are_given_go_before_those_of_the_file(path):
    assert open_file(path).image(0, 0, (0.5, None, None)).pixel_size_um == (0.5, 0.1, 0.1)
    assert open_file(path).image(1, voxel_size_um=(None, 0.2, None)).pixel_size_um == (None, 0.2, None)


def test_a_channel_is_checked_without_decoding_it(path, monkeypatch):
    with open_file(path) as file:
        monkeypatch.delattr(type(file._opened), "plane")
        file.image(0, 0).check("dna")
        with pytest.raises(InputError, match="has no channel 2"):
            file.image(0, 0).check(2)


@pytest.mark.parametrize("channel", [1, "1", "dna", "DNA"])
def test_a_channel_by_number_or_name(path, channel):
    np.testing.assert_array_equal(open_file(path).image(0, 2).read(channel), VOXELS[2, 1])


@pytest.mark.parametrize("channel", [-1, 3, "3", "phase"])
def test_a_channel_that_is_not_there(path, channel):
    with pytest.raises(
        InputError, match=rf"^data/a.czi, scene 1 \(second\) has no channel {channel}; it has channel 0, channel 1\.$"
    ):
        open_file(path, "data/a.czi").image(1).read(channel)


def test_a_channel_counted_from_one(path):
    with pytest.raises(InputError, match=r"has no channel 2; it has 0 Light, 1 dna\. The first channel is 0\.$"):
        open_file(path).image("first", 0).read(2)


@pytest.mark.parametrize("scene", [1, "1", "second", "Second"])
def test_a_scene_by_number_or_name(path, scene):
    np.testing.assert_array_equal(open_file(path).image(scene).read(0), VOXELS[0, 0, :2])


def test_a_scene_or_time_that_is_not_there(path):
    with pytest.raises(InputError, match=r"has no scene third; it has 0 \(first\), 1 \(second\)"):
        open_file(path).image("third")
    with pytest.raises(InputError, match=r"scene 0 \(first\) has no time point 3; it has 3, counted from 0\.$"):
        open_file(path).image(0, 3)


def test_what_is_used_of_a_file_that_has_more_is_said(path, caplog):
    caplog.set_level(logging.WARNING)
    open_file(path, "a.czi").image()
    assert caplog.messages == [
        "a.czi has 2 scenes (0 (first), 1 (second)); the first is used",
        "a.czi, scene 0 (first) has 3 time points; the first is used",
    ]


def test_nothing_is_said_of_what_was_asked_for(path, caplog):
    open_file(path).image(0, 0)
    assert not caplog.messages


def test_time_points_as_planes(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VOXELS[0, 0], imagej=True, metadata={"axes": "TYX"})
    np.testing.assert_array_equal(open_file(path).image(time="z").read(0), VOXELS[0, 0])


def test_single_planes_are_not_taken_for_images_unless_one_is_asked_for(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VOXELS[0, 0], imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(InputError, match=r"a.tif has 4 time points of a single plane each\. If they are the planes"):
        open_file(path).image()
    np.testing.assert_array_equal(open_file(path).image(time=2).read(0), VOXELS[0, 0, 2:3])


def test_time_points_beside_planes_are_no_planes(path):
    with pytest.raises(InputError, match=r"has 3 x 2 x 4 x 5 x 6 \(time, channel, Z, Y, X\); its time points are not"):
        open_file(path).image(0, "z")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty (0 bytes), not a microscope image."),
        (b"<!DOCTYPE html><html>log in</html>", "is a web page, not a microscope image."),
        (b"\x1f\x8b\x08\0\0\0", "is compressed by gzip (unpack it first), not a microscope image."),
        (b"no image", "is of no format that can be read here; "),
        (b"ZISRAWFILE\0\0", "can't be read as an image: "),
        (b"II*\0\x08\0\0\0", "can't be read as an image: "),
        (b"PK\x03\x04", "can't be read as an image: "),
    ],
)
def test_errors_name_the_file_as_the_user_knows_it(tmp_path, content, problem):
    path = tmp_path / "000001-a.czi"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        open_file(path, "data/a.czi")
    assert str(raised.value).startswith(f"data/a.czi {problem}")
    assert "000001" not in str(raised.value)
    with pytest.raises(InputError) as raised:
        open_file(path)
    assert str(raised.value).startswith(f"{path} {problem}")


def test_readers_that_are_tried_in_vain_say_nothing(tmp_path, caplog):
    (tmp_path / "a.tif").write_bytes(b"no image")
    with pytest.raises(InputError, match="is of no format that can be read here"):
        open_file(tmp_path / "a.tif")
    assert not caplog.messages


def test_the_bytes_decide_and_not_the_name(path):
    renamed = path.rename(path.with_name("a.czi"))
    assert open_file(renamed).format == "OME-TIFF"


def test_what_is_no_file(tmp_path):
    with pytest.raises(InputError, match=r"a.czi does not exist; check the path\.$"):
        open_file(tmp_path / "a.czi")
    with pytest.raises(InputError, match=r"is a folder without the metadata of an OME-Zarr"):
        open_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe is a device or a pipe; give an image file\.$"):
        open_file(tmp_path / "pipe")
