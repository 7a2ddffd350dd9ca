"""One image to one output."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from ssp_model.images.ome_tiff import read_ome_tiff, write_channels
from ssp_model.images.reader import open_file
from ssp_model.prediction import image as image_module
from ssp_model.prediction.batch import predict_images
from ssp_model.prediction.outputs import read_provenance
from ssp_model.prediction.plan import OutputSettings
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.requests import ImageRequest

RAW = np.random.default_rng(0).normal(100, 5, size=(9, 20, 40)).astype(np.float32)
SIZES = (0.6, 0.3, 0.15)
STANDARDISED = (RAW - RAW.mean(dtype=np.float64)) / RAW.std(dtype=np.float64)


@pytest.fixture
def predictor(model) -> Predictor:
    return Predictor(model, precision="float32", device="cpu")


@pytest.fixture
def path(tmp_path) -> Path:
    write_channels(tmp_path / "image.tif", [RAW[::-1], RAW], ["dna", "light"], SIZES)
    return tmp_path / "image.tif"


def predicted(predictor, request, settings) -> list[Path]:
    outcomes = predict_images(predictor, [request], request.path.parent / "out", settings)
    assert [outcome.status for outcome in outcomes] == ["done"] * len(outcomes), outcomes
    return [Path(outcome.output) for outcome in outcomes]


def test_a_prediction_lies_on_the_grid_of_its_image(predictor, path):
    (output,) = predicted(predictor, ImageRequest(path, "light"), OutputSettings())
    assert output == path.parent / "out/image.ome.tif"
    written = read_ome_tiff(output)
    assert written.channel_names == ["transmitted light", "tom20", "zo1"]
    assert written.voxel_size_um == SIZES
    np.testing.assert_allclose(written.channels[0], STANDARDISED, atol=1e-5)
    wanted = predictor.predict(RAW, voxel_size_um=SIZES)
    for channel, structure in zip(written.channels[1:], wanted, strict=True):
        np.testing.assert_allclose(channel, wanted[structure], atol=1e-6)


def test_a_prediction_at_the_models_voxels(predictor, path):
    (output,) = predicted(predictor, ImageRequest(path, 1), OutputSettings(("zo1",), grid="model"))
    written = read_ome_tiff(output)
    assert written.voxel_size_um == (0.3, 0.3, 0.3)
    assert written.channels[0].shape == (18, 20, 20)
    np.testing.assert_allclose(written.channels[1], predictor.predict_signal(written.channels[0], "zo1"), atol=1e-6)


@pytest.mark.parametrize("grid", ["image", "model"])
def test_volumes_in_files_give_the_same(predictor, path, monkeypatch, grid):
    def voxels(number: int) -> np.ndarray:
        settings = OutputSettings(("zo1",), grid=grid)
        out = path.parent / f"out{number}"
        predict_images(predictor, [ImageRequest(path, 1)], out, settings)
        return tifffile.imread(out / "image.ome.tif")

    in_memory = voxels(0)
    monkeypatch.setattr(image_module, "SHARE_OF_VOLUMES", 10**12)
    np.testing.assert_allclose(voxels(1), in_memory, atol=1e-6)


@pytest.mark.parametrize("output_format", ["ome-tiff", "ome-zarr"])
def test_uint16_gives_back_the_standardised_values_within_its_step(predictor, path, output_format):
    settings = OutputSettings(("tom20",), pixels="uint16", format=output_format)
    (output,) = predicted(predictor, ImageRequest(path, 1), settings)
    wanted = predictor.predict(RAW, ["tom20"], voxel_size_um=SIZES)["tom20"]
    if output_format == "ome-tiff":
        assert tifffile.imread(output).dtype == np.uint16
        found = read_ome_tiff(output).channels[1]
    else:
        group = zarr.open_group(output, mode="r")
        mapping = dict(group.attrs)["ssp_model"]["intensities"][1]
        found = mapping["offset"] + mapping["step"] * group["0"][0, 1].astype(float)
    assert np.abs(found - wanted).max() <= np.ptp(wanted) / 65535
    # the whole range is used
    assert found.min() == pytest.approx(wanted.min(), abs=1e-4)


def test_scenes_and_time_points_are_all_predicted(predictor, tmp_path):
    path = tmp_path / "many.ome.tif"
    series = np.stack([RAW, RAW[::-1]])
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", SIZES, strict=True)}
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, axes, voxels in (("A1", "TZYX", series), ("B/2", "ZYX", RAW[:5])):
            file.write(voxels, metadata={"axes": axes, "Name": name, **sizes}, photometric="minisblack")
    first, second = predicted(predictor, ImageRequest(path), OutputSettings(("zo1",)))
    assert [output.name for output in (first, second)] == ["many_A1.ome.tif", "many_B-2.ome.tif"]
    with open_file(first) as file:
        assert (file.scenes[0].num_times, file.scenes[0].shape_zyx) == (2, RAW.shape)
        for time in range(2):
            wanted = predictor.predict(series[time], ["zo1"], voxel_size_um=SIZES)["zo1"]
            np.testing.assert_allclose(file.image(0, time).read("zo1"), wanted, atol=1e-6)
    with open_file(second) as file:
        np.testing.assert_allclose(
            file.image().read("zo1"), predictor.predict(RAW[:5], ["zo1"], voxel_size_um=SIZES)["zo1"], atol=1e-6
        )
    (chosen,) = predicted(predictor, ImageRequest(path, scene="A1", time=1), OutputSettings(("zo1",)))
    assert chosen.name == "many_A1_t1.ome.tif"
    assert read_ome_tiff(chosen).channels[1].shape == RAW.shape


def test_time_points_that_are_planes(predictor, tmp_path):
    path = tmp_path / "frames.tif"
    tifffile.imwrite(path, RAW[:, None, None], imagej=True, metadata={"axes": "TZCYX"})
    (output,) = predicted(predictor, ImageRequest(path, time="z", voxel_size_um=SIZES), OutputSettings(("tom20",)))
    np.testing.assert_allclose(
        read_ome_tiff(output).channels[1], predictor.predict(RAW, ["tom20"], voxel_size_um=SIZES)["tom20"], atol=1e-6
    )


def test_sizes_that_are_not_known_are_not_made_up(predictor, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RAW, photometric="minisblack")
    for grid in ("image", "model"):
        (output,) = predicted(predictor, ImageRequest(tmp_path / "a.tif"), OutputSettings(("zo1",), grid=grid))
        with open_file(output) as file:
            assert file.scenes[0].pixel_size.um == (None, None, None)
        output.unlink()


def test_an_output_tells_how_it_was_made(predictor, path):
    (output,) = predicted(predictor, ImageRequest(path, 1, voxel_size_um=(0.3, 0.2, 0.2)), OutputSettings(("zo1",)))
    told = read_provenance(output)
    assert told["model sha256"] == predictor.sha256
    assert (told["image"], told["transmitted light"]) == (str(path), "channel 1 (light)")
    assert (told["voxel size of the image, um (Z, Y, X)"], told["source of the voxel size"]) == (
        "0.3 x 0.2 x 0.2",
        "given",
    )
    assert (told["structures"], told["overlap"], told["precision"]) == ("zo1", "0.5", "32-true")


def test_one_read_serves_all_structures(predictor, path, monkeypatch):
    reads = []
    prepare = image_module.to_model_voxels
    monkeypatch.setattr(image_module, "to_model_voxels", lambda *a: reads.append(a) or prepare(*a))
    predicted(predictor, ImageRequest(path, 1), OutputSettings())
    assert len(reads) == 1
