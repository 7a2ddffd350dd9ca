"""One stack in files of every kind: predicted as the array that it is, or refused in a sentence."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from pylibCZIrw import czi

from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import read_ome_tiff
from ssp_model.images.reader import open_file
from ssp_model.models.model_file import ModelInfo, make_network, save_model
from ssp_model.prediction.batch import predict_images
from ssp_model.prediction.outcomes import Outcome
from ssp_model.prediction.plan import OutputSettings
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.requests import ImageRequest

RAW = np.random.default_rng(0).integers(100, 1000, (8, 24, 26)).astype(np.uint16)
SIZES = (0.3, 0.2, 0.2)
STANDARDISED = (RAW - RAW.mean()) / RAW.std()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    """A model that has learnt nothing, and whose training images were shrunk in X and Y."""
    info = ModelInfo(
        structures=("zo1",),
        method="repmode",
        settings={"width": 2},
        patch=(16, 16, 16),
        voxel_size_um=(0.3, 0.3, 0.3),
        preprocess={"scale": [1, 0.5, 0.5]},
        config={},
        training={"seed": 3},
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(make_network("repmode", 1, info.settings), info, path)
    return Predictor(path, precision="float32", device="cpu", overlap=0.0)


def ome(path, voxels=RAW, axes="ZYX", sizes=SIZES, unit="µm", **options):
    metadata = {"axes": axes}
    for axis, size in zip("ZYX", sizes, strict=True):
        if size is not None:
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    tifffile.imwrite(path, voxels, ome=True, photometric="minisblack", metadata=metadata, **options)


def imagej(path, voxels=RAW, resolution=(5, 5), **metadata):
    tifffile.imwrite(path, voxels, imagej=True, resolution=resolution, metadata={"axes": "ZYX", **metadata})


def planes(voxels=RAW, x=0, channel=0, scene=0, planes_are="Z"):
    """The planes of a stack, as a CZI takes them."""
    return [
        (plane[..., None], {"C": channel, "Z": 0, "T": 0, planes_are: z}, (x, 0), scene)
        for z, plane in enumerate(voxels)
    ]


def write_czi(path, of, sizes=SIZES):
    with czi.create_czi(str(path)) as file:
        for plane, place, location, scene in of:
            file.write(plane, plane=place, location=location, scene=scene)
        file.write_metadata("a", **{f"scale_{a}": um * 1e-6 for a, um in zip("zyx", sizes, strict=True)})


def write_zarr(path, sizes=SIZES, unit="micrometer"):
    store = zarr.storage.ZipStore(path, mode="w") if path.suffix == ".ozx" else zarr.storage.LocalStore(path)
    axes = [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(sizes)}]}]
    metadata = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group = zarr.create_group(store, attributes={"ome": metadata})
    group.create_array("0", shape=RAW.shape, dtype=RAW.dtype, chunks=(2, 16, 16))[:] = RAW
    store.close()


def assert_same(prediction, wanted):
    """A model that has learnt nothing predicts small numbers: they are compared by their own size."""
    np.testing.assert_allclose(prediction, wanted, atol=1e-3 * wanted.std())


def times(size: float) -> tuple[float, ...]:
    return tuple(size * um for um in SIZES)


TWINS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "OME-TIFF": ("a.ome.tif", ome),
    "nm": ("a.ome.tif", lambda path: ome(path, sizes=times(1000), unit="nm")),
    "mm": ("a.ome.tif", lambda path: ome(path, sizes=times(0.001), unit="mm")),
    "float32": ("a.ome.tif", lambda path: ome(path, RAW.astype(np.float32))),
    "int16": ("a.ome.tif", lambda path: ome(path, RAW.astype(np.int16) - 500)),
    "other gain": ("a.ome.tif", lambda path: ome(path, RAW * np.uint16(7) + np.uint16(40))),
    "big-endian": ("a.ome.tif", lambda path: ome(path, byteorder=">")),
    "BigTIFF": ("a.ome.tif", lambda path: ome(path, bigtiff=True)),
    "LZW": ("a.ome.tif", lambda path: ome(path, compression="lzw")),
    "tiled": ("a.ome.tif", lambda path: ome(path, tile=(16, 16))),
    "ImageJ": ("a.tif", lambda path: imagej(path, unit="um", spacing=0.3)),
    "ImageJ in nm": ("a.tif", lambda path: imagej(path, resolution=(0.005, 0.005), unit="nm", spacing=300.0)),
    "ImageJ downwards": ("a.tif", lambda path: imagej(path, unit="um", spacing=-0.3)),
    "CZI": ("a.czi", lambda path: write_czi(path, planes())),
    "CZI that starts elsewhere": ("a.czi", lambda path: write_czi(path, planes(x=-70))),
    "CZI by another name": ("a.tif", lambda path: write_czi(path, planes())),
    "OME-Zarr": ("a.zarr", write_zarr),
    "OME-Zarr in nm": ("a.zarr", lambda path: write_zarr(path, times(1000), "nanometer")),
    "zipped OME-Zarr": ("a.ozx", write_zarr),
}


@pytest.mark.parametrize("kind", TWINS)
def test_twins_are_predicted_alike_without_a_word(predictor, tmp_path, caplog, kind):
    name, write = TWINS[kind]
    write(tmp_path / name)
    caplog.set_level(logging.WARNING)
    predicted = predictor.predict(tmp_path / name)["zo1"]
    assert_same(predicted, predictor.predict(RAW, voxel_size_um=SIZES)["zo1"])
    assert caplog.messages == []


def outcomes_of(predictor, path, **request) -> list[Outcome]:
    return predict_images(predictor, [ImageRequest(path, **request)], path.parent / "out", OutputSettings())


def predicted(predictor, path, **request):
    """The one output of an image, read."""
    (outcome,) = outcomes_of(predictor, path, **request)
    assert outcome.problem == ""
    return read_ome_tiff(Path(outcome.output))


def write_scenes(path):
    if path.suffix == ".czi":
        write_czi(path, [*planes(RAW[:, :10, :12]), *planes(x=100, scene=1)])
        return
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", SIZES, strict=True)}
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, voxels in (("overview", RAW[:3]), ("field", RAW)):
            file.write(voxels, metadata={"axes": "ZYX", "Name": name, **sizes}, photometric="minisblack")


@pytest.mark.parametrize(("name", "scene"), [("a.ome.tif", "field"), ("a.ome.tif", 1), ("a.czi", "1")])
def test_a_scene_equals_it_alone(predictor, tmp_path, name, scene):
    write_scenes(tmp_path / name)
    output = predicted(predictor, tmp_path / name, scene=scene)
    np.testing.assert_allclose(output.channels[0], STANDARDISED, atol=1e-5)
    assert_same(output.channels[1], predictor.predict(RAW, voxel_size_um=SIZES)["zo1"])


@pytest.mark.parametrize("name", ["a.ome.tif", "a.czi"])
def test_all_scenes_are_predicted_if_none_is_chosen(predictor, tmp_path, name):
    write_scenes(tmp_path / name)
    outputs = [read_ome_tiff(Path(outcome.output)) for outcome in outcomes_of(predictor, tmp_path / name)]
    assert outputs[0].channels[1].size < RAW.size
    assert_same(outputs[1].channels[1], predictor.predict(RAW, voxel_size_um=SIZES)["zo1"])


def test_known_sizes_are_used_though_one_is_not_known(predictor, tmp_path, caplog):
    ome(tmp_path / "a.ome.tif", sizes=(None, 0.2, 0.2))
    output = predicted(predictor, tmp_path / "a.ome.tif")
    # Z as in the training, by 1; X and Y by the file, by 2/3 and not by 0.5
    assert_same(output.channels[1], predictor.predict(RAW, voxel_size_um=SIZES)["zo1"])
    with pytest.raises(AssertionError):
        assert_same(output.channels[1], predictor.predict(RAW)["zo1"])
    assert open_file(tmp_path / "out/a.ome.tif").image().pixel_size_um == (None, 0.2, 0.2)
    assert "a.ome.tif gives no pixel size along Z: it is resized there by the factor of the training" in caplog.text


NO_SIZES: dict[str, Callable[[Path], None]] = {
    "plain": lambda path: tifffile.imwrite(path, RAW, photometric="minisblack", metadata=None),
    "96 dpi": lambda path: tifffile.imwrite(
        path, RAW, photometric="minisblack", metadata=None, resolution=(96, 96), resolutionunit="INCH"
    ),
    "OME pixel": lambda path: ome(path, unit="pixel"),
    "ImageJ pixel": lambda path: imagej(path, unit="pixel", spacing=1.0),
    "ImageJ without unit": lambda path: imagej(path, spacing=0.3),
}


@pytest.mark.parametrize("kind", NO_SIZES)
def test_what_is_no_length_is_not_taken_for_um(predictor, tmp_path, kind, caplog):
    NO_SIZES[kind](tmp_path / "a.tif")
    output = predicted(predictor, tmp_path / "a.tif")
    assert_same(output.channels[1], predictor.predict(RAW)["zo1"])
    assert open_file(tmp_path / "out/a.ome.tif").image().pixel_size_um == (None, None, None)
    assert "gives no pixel size along Z, Y, X" in caplog.text


def test_an_output_of_unknown_sizes_is_not_shrunk_again(predictor, tmp_path):
    NO_SIZES["plain"](tmp_path / "a.tif")
    (first,) = outcomes_of(predictor, tmp_path / "a.tif")
    again = predictor.predict(first.output, channel="transmitted light")["zo1"]
    assert_same(again, read_ome_tiff(Path(first.output)).channels[1])


BAD_SIZES = {-0.2: "-0.2 um", np.inf: "an infinite size", np.nan: "no number", 0.0: "0 um", 1e-9: "1e-09 um"}
BAD_SIZES |= {264.6: "264.6 um", 1e6: "1,000,000 um", 1e30: "1e+30 um"}


@pytest.mark.parametrize("size", BAD_SIZES)
def test_a_size_that_no_microscope_has_is_refused(predictor, tmp_path, size):
    ome(tmp_path / "a.ome.tif", sizes=(0.3, 0.2, size))
    (outcome,) = outcomes_of(predictor, tmp_path / "a.ome.tif")
    assert outcome.problem == (
        f"{tmp_path}/a.ome.tif has no usable pixel size along X (its OME metadata say {BAD_SIZES[size]} along X), "
        "which is needed to bring it to the model's voxel size; give its voxel size, or save it with its pixel sizes."
    )
    # the way out
    output = predicted(predictor, tmp_path / "a.ome.tif", voxel_size_um=SIZES)
    assert_same(output.channels[1], predictor.predict(RAW, voxel_size_um=SIZES)["zo1"])


def test_sizes_that_do_not_fit_each_other_are_refused(predictor, tmp_path):
    ome(tmp_path / "a.ome.tif", sizes=(0.3, 9, 9))
    (outcome,) = outcomes_of(predictor, tmp_path / "a.ome.tif")
    assert "(its OME metadata say a size 30 times larger along one axis than along another)" in outcome.problem


def colours(path):
    tifffile.imwrite(path, np.repeat((RAW // 4)[..., None], 3, -1).astype(np.uint8), photometric="rgb")


REFUSED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "colour": ("a.tif", colours, "channel 0 is a colour image, not an intensity; give 0:grey as channel"),
    "complex": (
        "a.tif",
        lambda path: tifffile.imwrite(path, RAW.astype(np.complex64), photometric="minisblack"),
        "holds complex64 numbers; wanted are whole or real numbers. Save their magnitude.",
    ),
    "constant": ("a.ome.tif", lambda path: ome(path, np.full_like(RAW, 7)), "is constant (every voxel is 7)"),
    "not numbers": (
        "a.ome.tif",
        lambda path: ome(path, np.where(RAW > 990, np.nan, RAW).astype(np.float32)),
        "that are not finite numbers, such as the border of an image that was moved; crop them away.",
    ),
    "vanishing": (
        "a.ome.tif",
        lambda path: ome(path, RAW[:1], sizes=(0.02, 0.2, 0.2)),
        "is too small: 1 x 24 x 26 voxels would become 0 x 16 x 17 at the model's voxel size",
    ),
    "far too large": (
        "a.ome.tif",
        lambda path: ome(path, np.zeros((2, 20_000, 20_000), np.uint8), sizes=(10, 10, 10), compression="zlib"),
        "is too large: 2 x 20,000 x 20,000 voxels would become 67 x 666,667 x 666,667 at the model's voxel size",
    ),
    "missing plane": (
        "a.czi",
        lambda path: write_czi(path, [*planes()[:3], *planes()[4:]]),
        "is not whole: 1 of its 8 planes are missing (the first is plane 3); copy the file again or leave it out.",
    ),
    "Zarr with a short scale": (
        "a.zarr",
        lambda path: write_zarr(path, (0.3, 0.2)),
        "can't be read as an image: its scale [0.3, 0.2] has not one number for each of its 3 axes.",
    ),
    "pipe": ("a.tif", os.mkfifo, "is a device or a pipe; give an image file."),
    "empty": ("a.tif", Path.touch, "is empty (0 bytes), not a microscope image."),
    "missing": ("a.tif", lambda path: None, "does not exist; check the path."),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_not_be_used_is_refused_in_a_sentence(predictor, tmp_path, kind):
    name, write, sentence = REFUSED[kind]
    write(tmp_path / name)
    (outcome,) = outcomes_of(predictor, tmp_path / name)
    assert outcome.problem.startswith(f"{tmp_path / name} ")
    assert sentence in outcome.problem
    assert outcome.problem.endswith(".")
    assert list((tmp_path / "out").iterdir()) == []


def test_grey_is_the_mean_of_the_colours(predictor, tmp_path):
    colours(tmp_path / "a.tif")
    output = predicted(predictor, tmp_path / "a.tif", channel="0:grey")
    assert_same(output.channels[1], predictor.predict(RAW // 4)["zo1"])


@pytest.mark.parametrize("name", ["a.tif", "a.czi"])
def test_a_stack_that_is_stored_as_time_points_is_not_taken_for_single_planes(predictor, tmp_path, name):
    if name == "a.czi":
        write_czi(tmp_path / name, planes(planes_are="T"))
    else:
        tifffile.imwrite(tmp_path / name, RAW, imagej=True, resolution=(5, 5), metadata={"axes": "TYX", "unit": "um"})
    (outcome,) = outcomes_of(predictor, tmp_path / name)
    assert outcome.problem == (
        f"{tmp_path / name} has 8 time points of a single plane each. If they are the planes of one z-stack, give z as "
        "time; if not, give the number of one time point."
    )
    output = predicted(predictor, tmp_path / name, time="z")
    assert_same(output.channels[1], predictor.predict(RAW, voxel_size_um=SIZES)["zo1"])


def test_a_single_plane_is_predicted_with_a_warning(predictor, tmp_path, caplog):
    ome(tmp_path / "a.ome.tif", RAW[:1])
    output = predicted(predictor, tmp_path / "a.ome.tif")
    assert_same(output.channels[1], predictor.predict(RAW[:1], voxel_size_um=SIZES)["zo1"])
    assert "a.ome.tif is a single plane, but the model has learnt from stacks: do not trust" in caplog.text


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("size", [1, 2])
def test_axes_of_one_or_two_voxels_are_mirrored(predictor, axis, size):
    signal = STANDARDISED.take(range(size), axis).astype(np.float32)
    found = predictor.predict_signal(signal, "zo1")
    assert found.shape == signal.shape
    # the mirror image as often as fills a window, cut as the window cuts it
    missing = [max(16 - n, 0) for n in signal.shape]
    around = [(n // 2, n - n // 2) for n in missing]
    whole = predictor.predict_signal(np.pad(signal, around, mode="symmetric"), "zo1")
    inner = tuple(slice(before, before + n) for (before, _), n in zip(around, signal.shape, strict=True))
    assert_same(found, whole[inner])


def test_a_hot_pixel_is_told(predictor, tmp_path, caplog):
    voxels = np.random.default_rng(0).integers(100, 120, (8, 40, 40)).astype(np.uint16)
    voxels[:, 5, 6] = 60_000
    ome(tmp_path / "a.ome.tif", voxels)
    predictor.predict(tmp_path / "a.ome.tif")
    assert "channel 0 has hot pixels, of up to 60000, that make up 100% of its variance" in caplog.text


def test_a_gap_between_tiles_takes_no_part_in_mean_and_deviation(predictor, tmp_path):
    write_czi(tmp_path / "a.czi", [*planes(), *planes(x=40)])
    signal, prediction = predicted(predictor, tmp_path / "a.czi").channels
    assert signal.shape == (8, 24, 66)
    for start in (0, 40):
        np.testing.assert_allclose(signal[:, :, start : start + 26], STANDARDISED, atol=1e-5)
    assert (signal[:, :, 26:40] == 0).all()
    assert np.isfinite(prediction).all()


def test_channels_that_lie_aside_stay_where_they_are(predictor, tmp_path):
    write_czi(tmp_path / "a.czi", [*planes(), *planes(x=8, channel=1)])
    signal = predicted(predictor, tmp_path / "a.czi", channel=1).channels[0]
    assert signal.shape == (8, 24, 34)
    np.testing.assert_allclose(signal[:, :, 8:], STANDARDISED, atol=1e-5)
    assert (signal[:, :, :8] == 0).all()


def test_other_files_of_an_existing_folder_stay(predictor, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    ome(tmp_path / "a.ome.tif")
    predicted(predictor, tmp_path / "a.ome.tif")
    assert (tmp_path / "out/notes.txt").read_text() == "mine"


def test_a_folder_of_links_to_the_images_is_no_place_for_predictions(predictor, tmp_path):
    ome(tmp_path / "a.ome.tif")
    raw = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.ome.tif").symlink_to(tmp_path / "a.ome.tif")
    with pytest.raises(InputError, match=r"would replace .*out/a.ome.tif, which is an image to predict"):
        outcomes_of(predictor, tmp_path / "a.ome.tif")
    assert (tmp_path / "a.ome.tif").read_bytes() == raw
    assert open_file(tmp_path / "a.ome.tif").image().shape_zyx == RAW.shape
