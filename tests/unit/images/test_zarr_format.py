"""OME-Zarr of both versions, as folder and zip."""

import shutil
import zipfile

import numpy as np
import pytest
import zarr

from ssp_model.errors import InputError
from ssp_model.images.reader import open_file

VOXELS = np.random.default_rng(0).integers(1, 1000, (2, 4, 33, 35), np.uint16)
"""(channel, Z, Y, X)"""

AXES = [
    {"name": "c", "type": "channel"},
    *({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"),
]


def only_image(path):
    return open_file(path).image()


def image_metadata(axes=AXES, scale=(1, 0.29, 0.11, 0.11), name="first"):
    transforms = [{"type": "scale", "scale": list(scale)}]
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    return {"multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}


def write_group(group, voxels=VOXELS, version="0.5", **metadata):
    group.create_array("0", shape=voxels.shape, dtype=voxels.dtype, chunks=(1, 2, 16, 16))[:] = voxels
    ome = image_metadata(**metadata) | {"omero": {"channels": [{"label": "light"}, {"label": "dna"}]}}
    group.attrs.update({"ome": {"version": "0.5", **ome}} if version == "0.5" else ome)


def write(path, voxels=VOXELS, version="0.5", **metadata):
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    write_group(group, voxels, version, **metadata)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("packed", ["folder", "zip", "zip of the folder"])
def test_twins_of_a_stack_read_alike(tmp_path, version, packed):
    path = write(tmp_path / "a.zarr", version=version)
    if packed != "folder":
        inner = [tmp_path, "a.zarr"] if packed == "zip of the folder" else [path]
        path = shutil.make_archive(str(tmp_path / "packed"), "zip", *inner)
    image = only_image(path)
    assert image._file.format == f"OME-Zarr {version}"
    assert (image.channel_names, image.shape_zyx) == (["light", "dna"], (4, 33, 35))
    assert image.pixel_size_um == (0.29, 0.11, 0.11)
    np.testing.assert_array_equal(image.read("dna"), VOXELS[1])


def test_units(tmp_path):
    axes = [AXES[0], *(axis | {"unit": "nanometer"} for axis in AXES[1:])]
    path = write(tmp_path / "a.zarr", axes=axes, scale=(1, 290, 110, 110))
    assert only_image(path).pixel_size_um == pytest.approx((0.29, 0.11, 0.11))


@pytest.mark.parametrize("size", ["wide", None, -1, 1e9])
def test_sizes_that_can_not_be_used(tmp_path, size):
    image = only_image(write(tmp_path / "a.zarr", scale=(1, 0.29, size, 0.11)))
    assert image.pixel_size_um == (0.29, None, 0.11)
    assert image.info.pixel_size.doubts


def test_a_scale_without_a_unit_is_no_length(tmp_path):
    axes = [AXES[0], *({"name": name, "type": "space"} for name in "zyx")]
    assert only_image(write(tmp_path / "a.zarr", axes=axes, scale=(1, 1, 1, 1))).pixel_size_um == (
        None,
        None,
        None,
    )


def test_other_orders_of_axes(tmp_path):
    path = write(tmp_path / "a.zarr", VOXELS.transpose(1, 0, 3, 2), axes=[AXES[1], AXES[0], AXES[3], AXES[2]])
    np.testing.assert_array_equal(only_image(path).read(1), VOXELS[1])


def test_a_chunk_of_many_planes_is_decoded_once(tmp_path, monkeypatch):
    reads = []
    read = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda array, key: reads.append(key) or read(array, key))
    image = only_image(write(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(image.read(1), VOXELS[1])
    assert len(reads) == 2
    # no more planes at once than the memory is meant for
    monkeypatch.setattr("ssp_model.images.zarr_format.SLAB_BYTES", VOXELS[0, 0].nbytes)
    np.testing.assert_array_equal(image.read(0), VOXELS[0])
    assert len(reads) == 2 + 4


def test_series_are_scenes(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    for number, name in enumerate(["first", "second"]):
        write_group(root.create_group(str(number)), VOXELS + number, name=name)
    with open_file(tmp_path / "a.zarr") as file:
        assert [scene.name for scene in file.scenes] == ["first", "second"]
        np.testing.assert_array_equal(file.image("second").read(0), VOXELS[0] + 1)


def test_the_fields_of_a_plate_are_scenes(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}]}}
    well = root.create_group("A/1")
    well.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
    for field in range(2):
        write_group(well.create_group(str(field)), VOXELS + field)
    with open_file(tmp_path / "a.zarr") as file:
        assert [scene.name for scene in file.scenes] == ["A/1/0", "A/1/1"]
        np.testing.assert_array_equal(file.image("A/1/1").read(0), VOXELS[0] + 1)


def test_a_plane_without_chunks_is_missing(tmp_path):
    path = write(tmp_path / "a.zarr")
    shutil.rmtree(path / "0" / "c" / "1" / "1")
    image = only_image(path)
    np.testing.assert_array_equal(image.read(0), VOXELS[0])
    with pytest.raises(
        InputError, match=r"channel 1 \(dna\) is not whole: 2 of its 4 planes are missing \(the first is plane 2\)"
    ):
        image.read(1)


def test_more_planes_than_a_microscope_records_are_refused_at_once(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("0", shape=(2, 10**9, 33, 35), dtype=np.uint16, chunks=(1, 2, 33, 35))
    group.attrs.update({"ome": {"version": "0.5", **image_metadata()}})
    with pytest.raises(
        InputError, match=r"tell of 1 x 2 x 1000000000 x 33 x 35 .* more planes than a microscope records"
    ):
        open_file(tmp_path / "a.zarr")


def test_what_is_no_ome_zarr(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(InputError, match=r"a.zarr is a Zarr without an OME image in it"):
        open_file(tmp_path / "a.zarr")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.czi", "not a zarr")
    with pytest.raises(InputError, match=r"a.zip is a zip archive without an OME-Zarr in it; unpack it\.$"):
        open_file(tmp_path / "a.zip")
