"""TIFF of all kinds: each twin of a stack reads alike, and what is not whole is refused."""

import shutil

import numpy as np
import psutil
import pytest
import tifffile

from ssp_model.errors import InputError
from ssp_model.images.reader import open_file

VOXELS = np.random.default_rng(0).integers(0, 1000, (2, 4, 33, 35), np.uint16)
"""(channel, Z, Y, X)"""

SIZES = {"PhysicalSizeZ": 0.29, "PhysicalSizeY": 0.11, "PhysicalSizeX": 0.11}


def only_image(path):
    return open_file(path).image()


def write(path, voxels=VOXELS, metadata=None, **options):
    metadata = {"axes": "CZYX", **SIZES, **(metadata or {})}
    tifffile.imwrite(path, voxels, ome=True, metadata=metadata, photometric="minisblack", **options)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zstd"},
        {"rowsperstrip": 5},
    ],
    ids=str,
)
def test_twins_of_a_stack_read_alike(tmp_path, options):
    image = only_image(write(tmp_path / "a.ome.tif", **options))
    assert image.shape_zyx == (4, 33, 35)
    assert image.pixel_size_um == (0.29, 0.11, 0.11)
    for channel in range(2):
        read = image.read(channel)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, VOXELS[channel])


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.uint8, np.int32])
def test_types(tmp_path, kind):
    image = only_image(write(tmp_path / "a.ome.tif", (VOXELS % 200).astype(kind)))
    read = image.read(1)
    assert read.dtype == kind
    np.testing.assert_array_equal(read, (VOXELS[1] % 200).astype(kind))


@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "ZTCYX", "CTZYX"])
def test_any_order_of_axes(tmp_path, axes):
    voxels = np.random.default_rng(1).integers(0, 1000, (3, 2, 4, 5, 6), np.uint16)
    turned = voxels.transpose(["TCZYX".index(axis) for axis in axes])
    path = write(tmp_path / "a.ome.tif", turned, {"axes": axes})
    for time in range(3):
        np.testing.assert_array_equal(open_file(path).image(time=time).read(1), voxels[time, 1])


@pytest.mark.parametrize(("unit", "per_um"), [("nm", 1000), ("mm", 0.001), ("µm", 1), ("Å", 10000)])
def test_units(tmp_path, unit, per_um):
    metadata = {name: size * per_um for name, size in SIZES.items()} | {f"{name}Unit": unit for name in SIZES}
    size = only_image(write(tmp_path / "a.ome.tif", metadata=metadata)).info.pixel_size
    assert size.um == pytest.approx((0.29, 0.11, 0.11))
    assert size.source == "OME metadata"


def test_a_pixel_is_no_length(tmp_path):
    metadata = {f"{name}Unit": "pixel" for name in SIZES}
    size = only_image(write(tmp_path / "a.ome.tif", metadata=metadata)).info.pixel_size
    assert (size.um, size.doubts) == ((None, None, None), ())


def test_imagej(tmp_path):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZCYX", "spacing": -0.29, "unit": "um"}
    tifffile.imwrite(path, VOXELS.swapaxes(0, 1), imagej=True, resolution=(1 / 0.11, 1 / 0.11), metadata=metadata)
    image = only_image(path)
    assert image._file.format == "ImageJ TIFF"
    assert image.pixel_size_um == pytest.approx((0.29, 0.11, 0.11), rel=1e-4)
    np.testing.assert_array_equal(image.read(1), VOXELS[1])


def test_imagej_without_a_unit_of_length(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VOXELS[0], imagej=True, resolution=(9, 9), metadata={"axes": "ZYX", "unit": "pixel"})
    assert only_image(path).pixel_size_um == (None, None, None)


def test_a_plain_stack(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VOXELS[0], metadata=None, photometric="minisblack")
    np.testing.assert_array_equal(only_image(path).read(0), VOXELS[0])


@pytest.mark.parametrize(("per", "unit", "size"), [(96, "INCH", None), (100_000, "CENTIMETER", 0.1)])
def test_the_resolution_of_a_printer_is_no_pixel_size(tmp_path, per, unit, size):
    path = tmp_path / "a.tif"
    options = {"metadata": None, "photometric": "minisblack"}
    tifffile.imwrite(path, VOXELS[0], resolution=(per, per), resolutionunit=unit, **options)
    assert only_image(path).pixel_size_um == (None, size, size)


def test_colour_is_refused_unless_asked_to_be_grey(tmp_path):
    path = tmp_path / "a.ome.tif"
    colours = np.random.default_rng(0).integers(0, 255, (4, 33, 35, 3), np.uint8)
    tifffile.imwrite(path, colours, ome=True, photometric="rgb", metadata={"axes": "ZYXS"})
    with pytest.raises(InputError, match=r"is a colour image, not an intensity; give 0:grey as channel"):
        only_image(path).read(0)
    np.testing.assert_allclose(only_image(path).read("0:grey"), colours.mean(-1), rtol=1e-6)


def test_complex_numbers_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VOXELS[0].astype(np.complex64), photometric="minisblack")
    with pytest.raises(InputError, match=r"holds complex64 numbers; wanted are whole or real numbers"):
        only_image(path).read(0)


def read_all(path):
    image = only_image(path)
    return [image.read(channel) for channel in range(2)]


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path, options, share):
    path = write(tmp_path / "a.ome.tif", **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=rf"^{path} .*\.$"):
        read_all(path)


def test_a_contiguous_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VOXELS[0], imagej=True, metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"cut off|truncated"):
        only_image(path).read(0)


def test_a_file_without_the_others_of_its_set(tmp_path):
    with tifffile.TiffWriter(tmp_path / "whole.ome.tif", ome=True) as file:
        file.write(VOXELS[0], metadata={"axes": "ZYX"}, photometric="minisblack")
    xml = tifffile.TiffFile(tmp_path / "whole.ome.tif").ome_metadata
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="z{z}.ome.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(4)
    )
    start, end = xml.index("<TiffData"), xml.index("</Pixels>")
    for z in range(4):
        own = xml[:start] + planes + xml[end:]
        own = own.replace('UUID="urn:uuid:', f'UUID="urn:uuid:{z}" Old="', 1)
        tifffile.imwrite(tmp_path / f"z{z}.ome.tif", VOXELS[0, z], description=own.encode(), metadata=None)
    np.testing.assert_array_equal(only_image(tmp_path / "z0.ome.tif").read(0), VOXELS[0])
    (tmp_path / "alone").mkdir()
    alone = shutil.copy(tmp_path / "z0.ome.tif", tmp_path / "alone")
    with pytest.raises(InputError, match=r"is one file of a set, and z1.ome.tif of the set is not beside it"):
        open_file(alone)


def test_a_set_with_a_file_in_another_folder_is_refused(tmp_path):
    """Else whoever made the file chooses which files of this machine are read."""
    tifffile.imwrite(tmp_path / "secret.tif", VOXELS[0, 0])
    (tmp_path / "images").mkdir()
    path = write(tmp_path / "images" / "a.ome.tif")
    xml = tifffile.TiffFile(path).ome_metadata
    start, end = xml.index("<TiffData"), xml.index("</Pixels>")
    for name in ("../secret.tif", tmp_path / "secret.tif"):
        planes = f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:1</UUID></TiffData>'
        own = xml[:start] + planes + xml[end:]
        tifffile.imwrite(path, VOXELS[0, 0], description=own.encode(), metadata=None)
        with pytest.raises(InputError, match=r"secret.tif of the set is in another folder; put all into one"):
            open_file(path)


def test_a_file_that_is_refused_is_closed(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2, 3, 4, 5, 8, 8), np.uint16), metadata={"axes": "RVTZYX"})
    cut_off = write(tmp_path / "b.ome.tif")
    cut_off.write_bytes(cut_off.read_bytes()[:-5000])
    num_open = psutil.Process().num_fds()
    for refused in (path, cut_off):
        with pytest.raises(InputError, match="it has an axis|cut off") as told:
            open_file(refused)
        assert psutil.Process().num_fds() == num_open, told


def test_an_lsm_file_with_thumbnails(tmp_path):
    """Its channels are parts of one page."""
    path, (channels, depth, height, width) = tmp_path / "a.lsm", (3, *VOXELS.shape[1:])
    voxels = np.concatenate([VOXELS, VOXELS[:1] + 1])
    info = np.zeros(1, [(name, f"<{kind}") for name, kind in tifffile.TIFF.CZ_LSMINFO])
    values = {"MagicNumber": 67127628, "StructureSize": info.dtype.itemsize, "DimensionX": width, "DimensionY": height}
    values |= {"DimensionZ": depth, "DimensionChannels": channels, "DimensionTime": 1}
    values |= {"VoxelSizeX": 1e-7, "VoxelSizeY": 1e-7, "VoxelSizeZ": 3e-7}
    for name, value in values.items():
        info[name] = value
    tag = (34412, "B", info.nbytes, info.tobytes(), True)
    with tifffile.TiffWriter(path) as file:
        for z in range(depth):
            tags = [tag] if z == 0 else []
            file.write(voxels[:, z], photometric="minisblack", planarconfig="separate", extratags=tags, metadata=None)
            file.write(np.zeros((16, 16, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)

    with open_file(path) as file:
        assert len(file.scenes) == 1
        image = file.image()
        assert image.pixel_size_um == pytest.approx((0.3, 0.1, 0.1))
        for channel in range(channels):
            np.testing.assert_array_equal(image.read(channel), voxels[channel])


def test_axes_without_names(tmp_path, caplog):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VOXELS, photometric="minisblack")
    info = only_image(path).info
    assert (len(info.channel_names), info.shape_zyx) == (2, (4, 33, 35))
    assert info.notes == ("its axes are not named; they are taken for CZYX",)
