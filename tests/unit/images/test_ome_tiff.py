"""OME-TIFF, written and read."""

import numpy as np
import ome_types
import pytest
import tifffile
from bioio import BioImage

from ssp_model.errors import InputError
from ssp_model.images import ome_tiff
from ssp_model.images.ome_output import IntensityMapping, OmeContent, halve
from ssp_model.images.ome_tiff import read_ome_tiff, write_channels, write_ome_tiff

SHAPES = [(3, 4, 5, 6), (1, 4, 5, 6), (3, 1, 5, 6), (1, 1, 5, 6), (2, 3, 1, 700), (2, 3, 700, 1)]


def noise(shape) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ome.tif"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("voxel_size_um", [(1.0, 0.5, 0.25), None])
def test_what_is_written_is_read(path, shape, voxel_size_um):
    channels = list(noise(shape))
    names = ["transmitted light", "ß & <target>", "prediction"][: len(channels)]
    write_channels(path, channels, names, voxel_size_um)
    image = read_ome_tiff(path)
    assert image.channel_names == names
    assert image.voxel_size_um == voxel_size_um
    assert [channel.shape for channel in image.channels] == [shape[1:]] * shape[0]
    assert all((read == written).all() for read, written in zip(image.channels, channels, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_mapped_channels_are_read_as_standardised_intensities(path, shape):
    num_c, _, height, width = shape
    channels = noise(shape) * 3 - 1
    mappings = [IntensityMapping.of_range(channel.min(), channel.max()) for channel in channels]
    content = OmeContent((1, *shape), list("abc"[:num_c]), mappings=mappings)
    write_ome_tiff(path, channels.reshape(-1, height, width), content)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].dtype == np.uint16
    for read, written, mapping in zip(read_ome_tiff(path).channels, channels, mappings, strict=True):
        assert read.dtype == np.float32
        assert np.abs(read - written).max() <= mapping.step * 0.501


def test_tifffile_reads_planes_in_the_order_of_the_axes(path):
    voxels = noise((2, 3, 4, 20, 30))
    write_ome_tiff(path, voxels.reshape(-1, 20, 30), OmeContent(voxels.shape, ["a", "b", "c"]))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "TCZYX"
        assert (tiff.asarray() == voxels).all()


def test_bioio_reads_axes_names_and_sizes(path):
    voxels = noise((2, 3, 4, 20, 30))
    content = OmeContent(voxels.shape, ["transmitted light", "tom20", "é"], (0.3, 0.11, 0.1), time_step_s=2.5)
    write_ome_tiff(path, voxels.reshape(-1, 20, 30), content)
    image = BioImage(path)
    assert (image.get_image_data("TCZYX") == voxels).all()
    assert image.channel_names == list(content.channel_names)
    assert tuple(image.physical_pixel_sizes) == content.voxel_size_um


def test_smaller_levels_are_means(path):
    voxels = noise((2, 3, 601, 2101))
    write_channels(path, list(voxels), ["a", "b"], None)
    with tifffile.TiffFile(path) as tiff:
        full, half, quarter = tiff.series[0].levels
        assert [level.shape for level in (full, half, quarter)] == [
            (2, 3, 601, 2101),
            (2, 3, 301, 1051),
            (2, 3, 151, 526),
        ]
        expected = [[halve(plane) for plane in channel] for channel in voxels]
        assert (half.asarray() == np.array(expected)).all()
        assert (quarter.asarray() == np.array([[halve(plane) for plane in channel] for channel in expected])).all()
        assert [level.keyframe.tile for level in (full, half, quarter)] == [(512, 512), (304, 512), (160, 512)]


def test_a_small_plane_has_no_smaller_level(path):
    write_channels(path, [noise((2, 1024, 16))], ["a"], None)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.series[0].levels) == 1


@pytest.mark.parametrize(("mappings", "predictor"), [(None, 1), ([IntensityMapping.of_range(-9, 9)], 2)])
def test_compression_is_what_every_reader_knows(path, mappings, predictor):
    """Bio-Formats knows no predictor of floating-point numbers."""
    write_ome_tiff(path, noise((2, 40, 50)), OmeContent((1, 1, 2, 40, 50), ["a"], mappings=mappings))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert tiff.pages[0].predictor == predictor


def read_ome(path) -> ome_types.OME:
    """Read the metadata, and check them against the schema of OME."""
    xml = tifffile.tiffcomment(path)
    return ome_types.from_xml(xml.encode() if isinstance(xml, str) else xml, validate=True)


def test_metadata_follow_the_schema_of_ome(path):
    content = OmeContent(
        shape=(2, 3, 2, 8, 8),
        channel_names=["transmitted light", "<&> \"'\n", "\x00\ud800 control"],
        voxel_size_um=(0.3, 0.1, 1e-5),
        mappings=[IntensityMapping(-1.5, 1e-7)] * 3,
        contrast_limits=[(0, 65535), (10, 2000), (5, 6)],
        time_step_s=30,
        provenance={"model sha256": "abc", "<version>": "0.1 & more\x01"},
    )
    write_ome_tiff(path, noise((12, 8, 8)), content)
    ome = read_ome(path)
    image = ome.images[0]
    pixels = image.pixels
    assert [channel.name for channel in pixels.channels] == ["transmitted light", "<&> \"'\n", "�� control"]
    assert [channel.color.as_hex(format="long").upper()[:7] for channel in pixels.channels] == [
        "#FFFFFF",
        "#56B4E9",
        "#E69F00",
    ]
    assert pixels.physical_size_z_quantity.to("micrometer").magnitude == pytest.approx(0.3)
    assert pixels.physical_size_x == 1e-5
    assert (pixels.time_increment, pixels.time_increment_unit.value) == (30, "s")
    provenance = image.annotation_refs[0].ref
    assert provenance.namespace == "ssp_model/provenance"
    assert dict(provenance.value) == {"model sha256": "abc", "<version>": "0.1 & more�"}
    intensities = dict(pixels.channels[1].annotation_refs[0].ref.value)
    assert (float(intensities["offset"]), float(intensities["step"])) == (-1.5, 1e-7)
    assert (float(intensities["contrast minimum"]), float(intensities["contrast maximum"])) == (10, 2000)


@pytest.mark.parametrize("voxel_size_um", [None, (None, 0.1, 0.2)])
def test_a_size_that_is_not_known_is_not_written(path, voxel_size_um):
    write_ome_tiff(path, noise((2, 8, 8)), OmeContent((1, 1, 2, 8, 8), ["a"], voxel_size_um))
    pixels = read_ome(path).images[0].pixels
    assert pixels.physical_size_z is None
    assert (pixels.physical_size_y, pixels.physical_size_x) == ((0.1, 0.2) if voxel_size_um else (None, None))
    assert pixels.time_increment is None
    assert "PhysicalSizeZ" not in tifffile.tiffcomment(path)
    assert read_ome_tiff(path).voxel_size_um is None


def test_what_is_no_such_file_is_refused(path):
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


@pytest.mark.parametrize("percent", range(0, 100, 5))
def test_a_file_cut_short_is_refused(path, percent):
    write_channels(path, [noise((8, 64, 64))], ["a"], None)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * percent // 100])
    with pytest.raises(InputError, match=r"a.ome.tif (is damaged|can't be read)"):
        read_ome_tiff(path)


@pytest.mark.parametrize("count", ["4", "8"])
def test_a_file_without_some_of_its_planes_is_refused(path, count):
    """What tifffile reads as zeros."""
    write_channels(path, [noise((4, 64, 64))], ["a"], None)
    content = path.read_bytes().replace(b'SizeZ="4"', b'SizeZ="8"')
    path.write_bytes(content.replace(b'PlaneCount="4"', f'PlaneCount="{count}"'.encode()))
    with pytest.raises(InputError, match=r"a.ome.tif is damaged: it has 4 of 8 planes; copy it or write it again"):
        read_ome_tiff(path)


def test_files_as_tifffile_writes_them_are_read(path):
    """As this program wrote them in version 0.1."""
    voxels = noise((2, 3, 4, 5))
    tifffile.imwrite(path, voxels, ome=True, metadata={"axes": "CZYX", "Channel": {"Name": ["a", "b"]}})
    image = read_ome_tiff(path)
    assert image.channel_names == ["a", "b"]
    assert (np.array(image.channels) == voxels).all()


def test_files_that_may_exceed_4_gib_are_bigtiff(path, monkeypatch):
    image = np.zeros((2, 8, 8), np.float32)
    for limit, is_big in ((2**32, False), (1000, True)):
        monkeypatch.setattr(ome_tiff, "CLASSIC_TIFF", limit)
        write_channels(path, [image, image], ["a", "b"], None)
        with tifffile.TiffFile(path) as tiff:
            assert tiff.is_bigtiff == is_big
            assert tiff.series[0].shape == (2, 2, 8, 8)


def test_the_smaller_levels_count_towards_4_gib():
    full = 255 * 2048 * 2048 * 4
    assert full < ome_tiff.CLASSIC_TIFF
    assert ome_tiff._largest_size(OmeContent((1, 1, 255, 2048, 2048), ["a"])) > ome_tiff.CLASSIC_TIFF
