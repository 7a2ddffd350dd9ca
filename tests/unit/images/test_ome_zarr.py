"""OME-Zarr, written."""

import importlib.util
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import zarr
from bioio import BioImage
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from ssp_model.errors import InputError
from ssp_model.images import ome_zarr
from ssp_model.images.ome_output import IntensityMapping, OmeContent, halve
from ssp_model.images.ome_zarr import write_ome_zarr

WHOLE = OmeContent(
    shape=(2, 3, 2, 1030, 20),
    channel_names=["transmitted light", "<&> \"'\n", "é"],
    voxel_size_um=(0.3, 0.1, 0.2),
    mappings=[IntensityMapping(-7, 2e-4)] * 3,
    contrast_limits=[(0, 65535), (10, 2000), (5, 6)],
    time_step_s=30,
    provenance={"model sha256": "abc", "version": "0.1"},
)
CONTENTS = {
    "everything": WHOLE,
    "sizes unknown": OmeContent((1, 1, 1, 8, 9), ["a"]),
    "some sizes unknown": OmeContent((1, 1, 1, 8, 9), ["a"], (None, 0.1, 0.1)),
}

SCHEMAS = ("strict_image.schema", "image.schema", "_version.schema")


def noise(shape) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ome.zarr"


def write(path, content: OmeContent) -> np.ndarray:
    """Write noise, and return it."""
    voxels = noise(content.shape)
    write_ome_zarr(path, voxels.reshape(-1, *content.shape[3:]), content)
    return voxels


def test_bioio_reads_axes_names_and_sizes(path):
    content = OmeContent((2, 3, 4, 20, 30), ["transmitted light", "tom20", "é"], (0.3, 0.11, 0.1), time_step_s=2.5)
    voxels = write(path, content)
    image = BioImage(path)
    assert image.dims.order == "TCZYX"
    assert (image.get_image_data("TCZYX") == voxels).all()
    assert image.channel_names == list(content.channel_names)
    assert tuple(image.physical_pixel_sizes) == content.voxel_size_um
    assert image.dimension_properties.Y.unit == "micrometer"
    assert image.scale.T == 2.5


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 1, 7, 513, 3), (1, 2, 5, 3, 1025)])
def test_zarr_reads_what_is_written(path, monkeypatch, shape):
    """Also when planes of one stack are in several shards, and the last is not full."""
    monkeypatch.setattr(ome_zarr, "SHARD_BYTES", 3 * 4 * shape[3] * shape[4])
    voxels = write(path, OmeContent(shape, list("ab"[: shape[1]])))
    assert (zarr.open_group(path, mode="r")["0"][:] == voxels).all()


def test_smaller_levels_are_means_with_exact_scales(path):
    voxels = write(path, OmeContent((1, 2, 3, 601, 2101), ["a", "b"], (0.5, 0.25, 0.125)))
    group = zarr.open_group(path, mode="r")
    halves = np.array([[halve(plane) for plane in channel] for channel in voxels[0]])
    quarters = np.array([[halve(plane) for plane in channel] for channel in halves])
    assert (group["1"][0] == halves).all()
    assert (group["2"][0] == quarters).all()
    assert "3" not in group
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert [dataset["path"] for dataset in datasets] == ["0", "1", "2"]
    assert datasets[0]["coordinateTransformations"] == [{"type": "scale", "scale": [1, 1, 0.5, 0.25, 0.125]}]
    assert datasets[2]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1, 1, 0.5, 1.0, 0.5]},
        # the first pixel of four covers 0 to 3: its centre is at 1.5
        {"type": "translation", "translation": [0, 0, 0, 0.375, 0.1875]},
    ]


def test_a_mapped_channel_gives_back_the_standardised_intensities(path):
    voxels = write(path, WHOLE)
    group = zarr.open_group(path, mode="r")
    assert group["0"].dtype == np.uint16
    for c, pairs in enumerate(group.attrs["ssp_model"]["intensities"]):
        mapping = IntensityMapping(**pairs)
        back = mapping.to_standardised(group["0"][:, c])
        assert np.abs(back - voxels[:, c]).max() <= mapping.step * 0.51


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_metadata_follow_the_schema_of_ome_zarr(path, content):
    package = importlib.util.find_spec("ngff_zarr")
    if package is None:
        pytest.skip("ngff-zarr, which holds the JSON schema of OME-Zarr 0.5, is not installed")
    schemas = Path(package.origin).parent / "spec/0.5/schemas"
    resources = [(f"https://ngff.openmicroscopy.org/0.5/schemas/{name}", name) for name in SCHEMAS]
    registry = Registry().with_resources(
        (uri, DRAFT202012.create_resource(json.loads((schemas / name).read_text()))) for uri, name in resources
    )
    write(path, content)
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    jsonschema.Draft202012Validator({"$ref": resources[0][0]}, registry=registry).validate(attributes)


def test_provenance_is_kept(path):
    write(path, WHOLE)
    assert zarr.open_group(path, mode="r").attrs["ssp_model"]["provenance"] == dict(WHOLE.provenance)


def test_channels_have_names_colours_and_contrast_limits(path):
    write(path, WHOLE)
    channels = zarr.open_group(path, mode="r").attrs["ome"]["omero"]["channels"]
    assert [channel["label"] for channel in channels] == list(WHOLE.channel_names)
    assert [channel["color"] for channel in channels] == ["FFFFFF", "56B4E9", "E69F00"]
    assert channels[1]["window"] == {"min": 0, "max": 65535, "start": 10, "end": 2000}


def test_without_contrast_limits_the_range_of_the_channel_is_shown(path):
    voxels = write(path, OmeContent((2, 2, 3, 8, 9), ["a", "b"]))
    channels = zarr.open_group(path, mode="r").attrs["ome"]["omero"]["channels"]
    for c, channel in enumerate(channels):
        low, high = voxels[:, c].min(), voxels[:, c].max()
        assert channel["window"] == {"min": low, "max": high, "start": low, "end": high}


def test_a_size_that_is_not_known_has_no_unit(path):
    write(path, CONTENTS["some sizes unknown"])
    multiscale = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]
    assert [axis.get("unit") for axis in multiscale["axes"]] == [None, None, None, "micrometer", "micrometer"]
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 1, 1, 0.1, 0.1]


def test_a_large_image_is_few_files(path):
    """Without shards it would be 780, one for each chunk."""
    plane = np.zeros((1100, 1100), np.float32)
    plane[5, 5] = 1
    write_ome_zarr(path, (plane for _ in range(60)), OmeContent((1, 1, 60, 1100, 1100), ["a"]))
    assert sum(file.is_file() for file in path.rglob("*")) < 20


def test_an_older_output_is_replaced(path):
    write(path, CONTENTS["everything"])
    voxels = write(path, CONTENTS["sizes unknown"])
    group = zarr.open_group(path, mode="r")
    assert (group["0"][:] == voxels).all()
    assert "1" not in group
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["folder", "file", "zarr"])
def test_what_another_program_wrote_is_not_replaced(path, kind):
    if kind == "file":
        path.write_text("raw")
    else:
        path.mkdir()
        (path / "zarr.json").write_text(json.dumps({"attributes": {"ome": {}}}) if kind == "zarr" else "raw")
    with pytest.raises(InputError, match=r"a.ome.zarr exists and is not an OME-Zarr that this program has written"):
        write_ome_zarr(path, iter(()), CONTENTS["sizes unknown"])
    assert path.exists()
