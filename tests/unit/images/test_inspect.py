"""What is in a file, and what is odd in the intensities of its channels."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pylibCZIrw import czi

from ssp_model.errors import InputError
from ssp_model.files import size_of
from ssp_model.images.inspect import inspect_file, inspect_files, measure

VOXELS = np.random.default_rng(0).integers(100, 900, (3, 2, 4, 25, 36), np.uint16)
"""(time, channel, Z, Y, X)"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.ome.tif"
    sizes = {"PhysicalSizeZ": 300, "PhysicalSizeZUnit": "nm", "PhysicalSizeY": 0.1, "PhysicalSizeX": 500.0}
    names = {"Channel": {"Name": ["Light", "dna"]}}
    tifffile.imwrite(path, VOXELS, ome=True, metadata={"axes": "TCZYX", "Name": "field", **names, **sizes})
    return path


def test_metadata(path):
    report = inspect_file(path)
    (scene,) = report.scenes
    assert (report.format, report.num_bytes, report.error) == ("OME-TIFF", path.stat().st_size, "")
    assert (scene.name, scene.num_times, scene.shape_zyx, scene.dtype) == ("field", 3, (4, 25, 36), "uint16")
    assert scene.pixel_size_um == (0.3, 0.1, None)
    assert (scene.pixel_size_source, scene.pixel_size_doubts) == ("OME metadata", ("500 um along X",))
    assert [(channel.number, channel.name) for channel in scene.channels] == [(0, "Light"), (1, "dna")]
    assert [channel.intensities for channel in scene.channels] == [None, None]


def test_metadata_decode_nothing(path, monkeypatch):
    monkeypatch.delattr("ssp_model.images.tiff.TiffFormat.plane")
    assert inspect_file(path).scenes[0].num_times == 3


def test_intensities_are_of_all_time_points(path):
    for number, channel in enumerate(inspect_file(path, pixels=True).scenes[0].channels):
        voxels = VOXELS[:, number]
        found = channel.intensities
        assert (found.min, found.max) == (voxels.min(), voxels.max())
        assert found.mean == pytest.approx(voxels.mean())
        assert found.percentiles == tuple(np.percentile(voxels, (0.1, 50, 99.9), method="inverted_cdf"))


def test_the_order_of_bytes_does_not_matter(tmp_path):
    for order in "<>":
        tifffile.imwrite(tmp_path / f"{order}.tif", VOXELS[0, 0], byteorder=order, photometric="minisblack")
    little, big = (inspect_file(tmp_path / f"{order}.tif", pixels=True).scenes[0] for order in "<>")
    assert replace(little, channels=()) == replace(big, channels=())
    assert little.channels == big.channels


def test_a_report_is_plain_json(path):
    document = json.loads(json.dumps(asdict(inspect_file(path, pixels=True)), allow_nan=False))
    assert document["scenes"][0]["channels"][1]["intensities"]["max"] == VOXELS[:, 1].max()


def test_missing_planes_are_listed_and_their_channel_is_not_measured(tmp_path):
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for c, z in [(0, 0), (0, 1), (0, 2), (1, 1)]:
            file.write(VOXELS[0, c, z][..., None], plane={"C": c, "Z": z, "T": 0})
    whole, cut = inspect_file(path, pixels=True).scenes[0].channels
    assert (whole.missing_planes, cut.missing_planes) == ((), (0, 2))
    assert whole.intensities.max == VOXELS[0, 0, :3].max()
    assert cut.intensities is None
    assert "2 of its 3 planes are missing" in cut.error


def test_what_no_tile_covers_is_not_measured(tmp_path):
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for x in (0, 54):
            file.write(VOXELS[0, 0, 0][..., None], plane={"C": 0, "Z": 0, "T": 0}, location=(x, 0))
    found = inspect_file(path, pixels=True).scenes[0].channels[0].intensities
    assert found.not_covered == pytest.approx(18 / 90)
    assert found.min == VOXELS[0, 0, 0].min()


def test_colours_are_measured_as_their_mean(tmp_path):
    voxels = np.stack([VOXELS[0, 0]] * 2 + [VOXELS[0, 0] + 3], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", voxels, photometric="rgb")
    (channel,) = inspect_file(tmp_path / "a.tif", pixels=True).scenes[0].channels
    assert channel.is_colour
    assert channel.intensities.mean == pytest.approx(VOXELS[0, 0].mean() + 1)


def test_a_file_that_can_not_be_read_is_an_error_of_its_own(path, tmp_path):
    (tmp_path / "b.czi").write_bytes(b"")
    missing, whole, empty = inspect_files([tmp_path / "c.tif", path, tmp_path / "b.czi"])
    assert missing.error.endswith("c.tif does not exist; check the path.")
    assert (len(whole.scenes), whole.error) == (1, "")
    assert "is empty (0 bytes)" in empty.error
    with pytest.raises(InputError, match="is empty"):
        inspect_file(tmp_path / "b.czi")


def test_the_size_of_a_folder_is_that_of_all_its_files(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"123")
    assert size_of(tmp_path) == 8


WHOLE = st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.bool_, np.dtype(">u2")])
SHAPE = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))


@given(voxels=WHOLE.flatmap(lambda dtype: arrays.arrays(dtype, SHAPE)))
def test_percentiles_of_small_types_are_exact(voxels):
    found = measure(voxels)
    assert found.percentiles == tuple(np.percentile(voxels, (0.1, 50, 99.9), method="inverted_cdf"))
    assert (found.min, found.max) == (voxels.min(), voxels.max())
    assert found.is_constant == (len(np.unique(voxels)) == 1)
    assert found.is_mask == (len(np.unique(voxels)) <= 2)


NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32)


@given(voxels=arrays.arrays(st.sampled_from([np.float32, np.float64]), SHAPE, elements=NUMBERS))
def test_percentiles_of_other_types_are_near(voxels):
    wanted = np.percentile(voxels, (0.1, 50, 99.9), method="inverted_cdf")
    np.testing.assert_allclose(measure(voxels).percentiles, wanted, rtol=5e-4, atol=1e-37)


def test_large_whole_numbers_are_near():
    voxels = np.random.default_rng(0).integers(0, 2**32, (2, 20, 20), np.uint32)
    wanted = np.percentile(voxels, (0.1, 50, 99.9), method="inverted_cdf")
    np.testing.assert_allclose(measure(voxels).percentiles, wanted, rtol=5e-4)


@pytest.mark.parametrize(
    ("dtype", "most", "ceiling"),
    [
        (np.uint8, 255, 255),
        (np.uint16, 65535, 65535),
        (np.uint16, 4095, 4095),
        (np.uint16, 16383, 16383),
        (np.uint16, 4095 * 16, 65520),
        (np.uint16, 16383 * 4, 65532),
        (np.int16, 32767, 32767),
    ],
)
def test_saturation(dtype, most, ceiling):
    voxels = np.arange(100).reshape(4, 5, 5).astype(dtype)
    voxels[1, 2] = most
    found = measure(voxels)
    assert (found.ceiling, found.saturated) == (ceiling, 0.05)


@pytest.mark.parametrize(("dtype", "most"), [(np.uint16, 4094), (np.uint8, 254), (np.float32, 65535)])
def test_the_highest_value_is_not_always_a_ceiling(dtype, most):
    voxels = np.arange(100).reshape(4, 5, 5).astype(dtype)
    voxels[1, 2] = most
    assert measure(voxels).saturated == 0


def test_voxels_at_the_ceiling_are_counted_over_all_planes():
    voxels = np.zeros((3, 10, 10), np.uint16)
    voxels[0, 0, 0], voxels[1, 0, :2], voxels[2, 0, 0] = 4094, 4095, 4095
    assert measure(voxels).saturated == 3 / 300


def test_values_that_are_not_finite_are_counted_and_left_out():
    voxels = np.arange(50, dtype=np.float32).reshape(2, 5, 5)
    voxels[0, 0], voxels[1, 4, 4] = np.nan, np.inf
    found = measure(voxels)
    assert (found.not_finite, found.min, found.max) == (6, 5, 48)
    assert found.mean == pytest.approx(np.mean(voxels[np.isfinite(voxels)]))


def test_a_channel_without_any_number():
    found = measure(np.full((2, 5, 5), np.nan, np.float32))
    assert (found.min, found.mean, found.percentiles, found.not_finite) == (None, None, (None,) * 3, 50)
    assert found.is_constant


def test_planes_of_one_value():
    voxels = VOXELS[0, 0].copy()
    voxels[2] = 7
    found = measure(voxels)
    assert found.constant_planes == found.odd_planes == (2,)


def test_empty_planes_of_a_mask_are_not_odd():
    voxels = np.zeros((3, 20, 20), np.uint8)
    voxels[1, :5] = 255
    found = measure(voxels)
    assert (found.constant_planes, found.odd_planes) == ((0, 2), ())
    assert found.is_mask


def noise(seed=0):
    return np.random.default_rng(seed).normal(500, 20, (2, 64, 64))


def test_single_bright_voxels_are_hot_and_blurred_ones_are_not():
    voxels = noise()
    voxels[0, 5, 6] = voxels[0, 0, 0] = voxels[1, 63, 63] = 20_000
    blurred = np.exp(-(((np.mgrid[:64, :64] - 32) / 1.2) ** 2).sum(axis=0) / 2)
    voxels[1] += 20_000 * blurred
    assert measure(voxels.astype(np.uint16)).hot_voxels == 3


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_noise_has_no_hot_voxels(dtype):
    assert measure(noise(1).astype(dtype)).hot_voxels == 0


def test_a_hot_voxel_beside_nan():
    voxels = noise().astype(np.float32)
    voxels[:, :, :8] = np.nan
    voxels[0, 30, 8] = 20_000
    assert measure(voxels).hot_voxels == 1
