"""The odd files of the shared data: each is read right, or refused in the right words."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

from ssp_model.collection.tabulate import write_samples_of_archive
from ssp_model.data.convert import RawImages, convert_images
from ssp_model.data.left_out import check_left_out
from ssp_model.data.preprocess import Resizing
from ssp_model.errors import InputError
from ssp_model.images.description import UNKNOWN, Sizes
from ssp_model.images.ome_tiff import read_ome_tiff
from ssp_model.images.reader import open_file
from ssp_model.models.model_file import ModelInfo, make_network, save_model
from ssp_model.prediction.batch import predict_images
from ssp_model.prediction.outcomes import Outcome
from ssp_model.prediction.plan import OutputSettings
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.requests import ImageRequest

GOOD = "odd/images/good.ome.tif"
CZI = "odd/images/czi_scaling_1.czi"
STACK, SIZES = (24, 96, 101), (0.29, 0.11, 0.11)
NO_SIZE = "gives no pixel size along Z, Y, X: it is resized there by the factor of the training images"
ONE_PLANE = "is a single plane, but the model has learnt from stacks: do not trust its prediction"


@dataclass(frozen=True)
class Case:
    """A file, how it is asked for, and what must come of it.

    Attributes
    ----------
    request : dict
        Arguments of `ImageRequest`.
    shape_zyx : tuple of int
        Of the prediction, at one time point.
    size_um : tuple of float or None
        Of the prediction.
    num_times : int
    refused : str
        Words of the sentence; empty if the file works.
    said : str
        Words of a warning; empty if nothing is said.
    twin : str
        File whose prediction, with `twin_request`, is the same.
    """

    path: str
    request: dict = field(default_factory=lambda: {"channel": 0})
    shape_zyx: tuple[int, ...] = STACK
    size_um: Sizes = SIZES
    num_times: int = 1
    refused: str = ""
    said: str = ""
    twin: str = ""
    twin_request: dict = field(default_factory=lambda: {"channel": 0})


def channel(number, **more):
    return {"channel": number, **more}


GIVEN = channel(0, voxel_size_um=SIZES)

CASES = [
    Case(GOOD),
    Case("odd/images/unit_nm.ome.tif", twin=GOOD),
    Case("odd/images/imagej_spacing_negative.tif", twin=GOOD),
    Case("odd/images/unit_pixel.ome.tif", size_um=UNKNOWN, said=NO_SIZE),
    Case("odd/images/unit_pixel.ome.tif", GIVEN, twin=GOOD),
    Case("odd/images/size_264um_dpi96.ome.tif", refused="(its OME metadata say 264.6 um along Y, 264.6 um along X)"),
    Case("odd/images/size_264um_dpi96.ome.tif", GIVEN, twin=GOOD),
    Case(
        "odd/images/imagej_frames_not_slices.tif",
        refused="has 24 time points of a single plane each. If they are the planes of one z-stack, give z as time;",
    ),
    Case("odd/images/imagej_frames_not_slices.tif", {**GIVEN, "time": "z"}, twin=GOOD),
    Case(
        "odd/images/imagej_frames_not_slices.tif",
        {**GIVEN, "time": 3},
        shape_zyx=(1, 96, 101),
        said=ONE_PLANE,
    ),
    Case("odd/images/truncated.ome.tif", refused="can't be read as an image: it is damaged or cut off; copy it again."),
    Case(
        "odd/images/rgb.ome.tif",
        refused="channel 0 is a colour image, not an intensity; give 0:grey as channel",
    ),
    Case("odd/images/rgb.ome.tif", channel("0:grey")),
    Case("odd/images/czi_rgb_and_gray.czi", refused="channel 0 (TL colour) is a colour image"),
    Case("odd/images/czi_rgb_and_gray.czi", channel(1), shape_zyx=(16, 80, 96)),
    Case(
        CZI,
        refused="(its CZI metadata say 1,000,000 um along Z, 1,000,000 um along Y, 1,000,000 um along X)",
    ),
    Case(CZI, GIVEN, shape_zyx=(16, 80, 96)),
    Case("odd/images/two_scenes_shapes.ome.tif", channel(0, scene="overview"), (3, 32, 32), UNKNOWN, said=NO_SIZE),
    Case("odd/images/two_scenes_shapes.ome.tif", channel(0, scene="field"), size_um=UNKNOWN, said=NO_SIZE),
    Case("odd/images/two_scenes_shapes.ome.tif", {**GIVEN, "scene": 1}, twin=GOOD),
    Case("odd/images/two_scenes_shapes.ome.tif", channel(0, scene="well"), refused="has no scene well; it has 0 (over"),
    Case("odd/images/blobs_v05.ozx", channel("1"), (1, 12, 12), UNKNOWN, said=ONE_PLANE),
    Case("odd/images/czi_missing_planes.czi", shape_zyx=(16, 80, 96), twin=CZI, twin_request=GIVEN),
    Case(
        "odd/images/czi_missing_planes.czi",
        channel("DNA"),
        refused="channel 1 (DNA) is not whole: 5 of its 16 planes are missing (the first is plane 11); copy the file",
    ),
    Case("odd/images/tiny_5x7x9.ome.tif", shape_zyx=(5, 7, 9)),
    Case("odd/images/float32_nan_border.ome.tif", refused="holds 9,216 voxels (4.0%) that are not finite numbers"),
    Case(
        "odd/images/split_z_alone/000001-stack.ome.tif", refused="it is one file of a set, and stack_1.ome.tif of the"
    ),
    Case("czi/0T-4C-5Z.czi", channel(3), (5, 32, 32), (1.0, 0.62048, 0.62048)),
    Case("czi/CellDivision_T3_Z5_CH2_X240_Y170.czi", channel(1), (5, 170, 240), (0.32, 0.09058, 0.09058), 3),
    Case(
        "czi/CellDivision_T3_Z5_CH2_X240_Y170.czi",
        channel(1, time=2),
        (5, 170, 240),
        (0.32, 0.09058, 0.09058),
    ),
    Case("czi/s_1_t_1_c_1_z_1.czi", {}, (1, 325, 475), (None, 1.08333, 1.08333), said=ONE_PLANE),
    Case("real/fnet_TL_DNA.ome.tif", channel(0), (32, 128, 128), (0.302, 0.296, 0.296)),
    Case("real/fnet_TL_DNA.ome.tif", {}, refused="give that of the transmitted light."),
]


@pytest.fixture(scope="module")
def predict(tmp_path_factory, shared_data):
    """Predict an image; return its outcome."""
    info = ModelInfo(("zo1",), "repmode", {"width": 2}, (16, 16, 16), (0.3, 0.3, 0.3), {"scale": [1, 1, 1]}, {}, {})
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(make_network("repmode", 1, info.settings), info, path)
    predictor = Predictor(path, precision="float32", device="cpu", overlap=0.0)

    def predict_one(name: str, request: dict) -> Outcome:
        folder = tmp_path_factory.mktemp("out")
        (outcome,) = predict_images(predictor, [ImageRequest(shared_data / name, **request)], folder, OutputSettings())
        return outcome

    return predict_one


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path} {case.request}")
def test_images(predict, shared_data, caplog, case):
    caplog.set_level(logging.WARNING)
    outcome = predict(case.path, case.request)
    if case.refused:
        assert outcome.problem.startswith(str(shared_data / case.path))
        assert case.refused in outcome.problem
        assert outcome.output == ""
        return
    assert (outcome.status, outcome.problem) == ("done", "")
    assert (case.said in caplog.text) if case.said else (caplog.messages == [])
    with open_file(outcome.output) as file:
        (scene,) = file.scenes
        assert (scene.num_times, scene.shape_zyx) == (case.num_times, case.shape_zyx)
        known = [size or 0 for size in case.size_um]
        assert [size or 0 for size in scene.pixel_size.um] == pytest.approx(known, rel=1e-3)
    if case.twin:
        twin = read_ome_tiff(Path(predict(case.twin, case.twin_request).output)).channels
        for channel, wanted in zip(read_ome_tiff(Path(outcome.output)).channels, twin, strict=True):
            # a model that has learnt nothing predicts small numbers
            np.testing.assert_allclose(channel, wanted, atol=1e-3 * wanted.std())


def test_no_image_is_forgotten(shared_data):
    folders = ("odd/images", "czi", "real")
    there = {path for folder in folders for path in (shared_data / folder).rglob("*") if path.is_file()}
    named = {shared_data / case.path for case in CASES}
    assert {path for path in there if path.suffix in (".czi", ".tif", ".ozx", ".zarr")} == named


LISTS = {
    "good": "",
    "backslash": "",
    "blank_rows": "",
    "bom": "",
    "semicolon": "",
    "trailing_comma_rows": "",
    "one_based": "data/tom20/img_00.ome.tif has no channel 2; it has channel 0, channel 1. The first channel is 0.",
    "same_channel": "line 2 gives data/tom20/img_00.ome.tif the channel 1 as signal and as target; they must differ.",
}
"""Image lists, and the words in which they are refused; empty if they work."""

ARCHIVES = {
    "good": "",
    "concatenated": "",
    "hardlink": "",
    "mac_appledouble": "",
    "no_folder": "10 of the 10 listed images are used under other names there, such as img_00.ome.tif for tom20/img_00",
    "zip": "",
}
"""Archives, and the words that are said of them; empty if nothing is said."""


@pytest.fixture(scope="module")
def convert(tmp_path_factory, shared_data):
    """Convert a list's images of an archive; return their volumes by image and role."""

    def convert_listed(archive: str, image_list: str) -> dict[str, np.ndarray]:
        out = tmp_path_factory.mktemp("out")
        files = {"volumes": out / "tom20.h5", "left_out": out / "left_out.csv"}
        write_samples_of_archive({"tom20": shared_data / f"odd/lists/{image_list}.csv"}, out / "samples.csv")
        raw = RawImages(shared_data / f"odd/archives/{archive}.tar.gz")
        resizing = Resizing(voxel_size_um=(0.29, 0.29, 0.29))
        convert_images(raw, out / "samples.csv", files, structure="tom20", resizing=resizing)
        check_left_out(files["left_out"], "tom20", "stop", "--forcerun a.csv")
        with h5py.File(files["volumes"]) as file:
            return {f"{group.attrs['image']} {role}": group[role][()] for group in file.values() for role in group}

    return convert_listed


@pytest.fixture(scope="module")
def sound(convert):
    """The volumes of the sound archive with the sound list."""
    return convert("good", "good")


def test_the_sound_archive(sound, shared_data):
    assert len(sound) == 10 * 2
    assert {volume.shape for volume in sound.values()} == {(20, 27, 27)}
    for volume in sound.values():
        assert abs(volume.mean()) < 0.1


@pytest.mark.parametrize("image_list", LISTS)
@pytest.mark.parametrize("archive", ARCHIVES)
def test_archives_and_lists(convert, sound, caplog, archive, image_list):
    caplog.set_level(logging.WARNING)
    if LISTS[image_list]:
        with pytest.raises(InputError) as raised:
            convert(archive, image_list)
        assert LISTS[image_list] in str(raised.value)
        return
    volumes = convert(archive, image_list)
    assert list(volumes) == list(sound)
    for name, volume in volumes.items():
        np.testing.assert_array_equal(volume, sound[name])
    assert (ARCHIVES[archive] in caplog.text) if ARCHIVES[archive] else (caplog.messages == [])


def test_no_archive_or_list_is_forgotten(shared_data):
    assert {path.name.removesuffix(".tar.gz") for path in (shared_data / "odd/archives").iterdir()} == set(ARCHIVES)
    assert {path.stem for path in (shared_data / "odd/lists").iterdir()} == set(LISTS)
