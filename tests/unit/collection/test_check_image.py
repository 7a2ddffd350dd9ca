"""What is wrong with the samples of one image."""

import numpy as np
import pytest
import tifffile

from ssp_model.collection.check_image import ERROR, WARNING, check_image, judge
from ssp_model.errors import InputError
from ssp_model.images.inspect import measure

VOXELS = np.random.default_rng(0).integers(100, 900, (2, 3, 4, 40, 50), np.uint16)
"""(time, channel, Z, Y, X)"""
SIZES = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.2}


def write(path, voxels=VOXELS[0], axes="CZYX", **metadata):
    kind = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(path, voxels, ome=True, photometric=kind, metadata={"axes": axes, **SIZES, **metadata})
    return str(path)


def row(structure="tom20", signal=0, target=1, **cells):
    return {"structure": structure, "signal": signal, "target": target, **cells}


def halved(image):
    return (1, 0.5, 0.5)


def check(path, *rows, factors=halved, pixels=False):
    return check_image(path, rows or [row()], factors=factors, pixels=pixels)


def problems(found):
    return [
        (problem.severity, problem.structure, problem.problem.replace(found.image, "a.tif")) for problem in found.rows
    ]


def test_a_sound_image_has_no_problem_and_its_volumes_are_known(tmp_path):
    found = check(write(tmp_path / "a.tif"), row(), row("zo1", 0, 2), pixels=True)
    assert problems(found) == []
    assert found.num_bytes == (tmp_path / "a.tif").stat().st_size
    assert [(use.structure, use.role, use.channel) for use in found.uses] == [
        ("tom20", "signal", 0),
        ("tom20", "target", 1),
        ("zo1", "signal", 0),
        ("zo1", "target", 2),
    ]
    use = found.uses[0]
    assert (use.shape_zyx, use.resized_zyx, use.dtype) == ((4, 40, 50), (4, 20, 25), "uint16")
    assert use.voxel_size_um == pytest.approx((0.3, 0.2, 0.4))
    assert use.num_bytes == 4 * 4 * 20 * 25
    assert use.memory == 2 * 4 * 40 * 50 + 4 * 4 * 20 * 25 + use.num_bytes


def test_all_problems_are_found_and_one_of_several_structures_comes_once(tmp_path):
    path = write(tmp_path / "a.tif")
    found = check(path, row("tom20", 3, 4), row("zo1", 3, 1), row("dna", 1, "CHANNEL 1"))
    assert problems(found) == [
        (
            ERROR,
            "tom20, zo1",
            "a.tif has no channel 3; it has channel 0, channel 1, channel 2. The first channel is 0.",
        ),
        (ERROR, "tom20", "a.tif has no channel 4; it has channel 0, channel 1, channel 2."),
        (ERROR, "dna", "a.tif channel 1 is both signal and target; correct one."),
    ]
    assert {structure for *_, structure in found.unusable} == {"tom20", "zo1", "dna"}


def test_an_image_that_is_not_there_or_can_not_be_read(tmp_path):
    assert problems(check(str(tmp_path / "a.tif"))) == [(ERROR, "tom20", "a.tif does not exist; check the path.")]
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    ((severity, _, text),) = problems(check(str(tmp_path / "b.tif")))
    assert (severity, "can't be read as an image" in text) == (ERROR, True)


def test_an_image_may_lie_elsewhere(tmp_path):
    path = write(tmp_path / "download-1")
    found = check_image("https://x.org/a.tif", [row(target=3, path=path)], factors=halved)
    assert [problem.problem[:33] for problem in found.rows] == ["https://x.org/a.tif has no channe"]


def test_an_address_that_is_not_on_this_machine_is_a_warning():
    ((severity, _, text),) = problems(check("https://x.org/a.tif"))
    assert (severity, text) == (
        WARNING,
        "a.tif is not on this machine, so it is checked only when it is converted.",
    )


def test_scenes_and_time_points(tmp_path):
    path = write(tmp_path / "a.tif", VOXELS, "TCZYX")
    assert problems(check(path, row(time=1, scene=0))) == []
    assert problems(check(path)) == [(WARNING, "tom20", "a.tif has 2 time points; the first is used.")]
    found = check(path, row(time=0), row("zo1", time=2), row("dna", scene="field", time=0))
    assert problems(found) == [
        (ERROR, "zo1", "a.tif has no time point 2; it has 2, counted from 0."),
        (ERROR, "dna", "a.tif has no scene field; it has 0 (Image0). Give the number of one."),
    ]
    assert {use.structure for use in found.uses} == {"tom20"}


def test_sizes_of_the_table_go_before_those_of_the_file(tmp_path):
    path = write(tmp_path / "a.tif")
    cells = {"voxel_size_z_um": 0.5, "voxel_size_y_um": np.nan, "voxel_size_x_um": None}
    assert check(path, row(**cells)).uses[0].voxel_size_um == pytest.approx((0.5, 0.2, 0.4))


def test_an_image_that_can_not_be_resized(tmp_path):
    def refuse(image):
        raise InputError(f"{image.name} is too small.")

    found = check(write(tmp_path / "a.tif"), row(target=9), factors=refuse)
    assert [text[:23] for _, _, text in problems(found)] == ["a.tif is too small.", "a.tif has no channel 9;"]
    assert found.uses == []


def test_colours(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((4, 20, 20, 3), np.uint8), "ZYXS")
    ((severity, _, text), *_) = problems(check(path, row(target=5)))
    assert severity == ERROR
    assert "is a colour image" in text


def test_intensities_are_read_only_if_asked_for(tmp_path):
    voxels = VOXELS[0].copy()
    voxels[1] = 7
    path = write(tmp_path / "a.tif", voxels)
    assert problems(check(path)) == []
    assert problems(check(path, row(), row("zo1", 0, 2), pixels=True)) == [
        (
            ERROR,
            "tom20",
            "a.tif channel 1 is constant (every voxel is 7), so it can't be standardised.",
        )
    ]


def test_a_channel_of_several_structures_is_read_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        "ssp_model.collection.check_image.measure", lambda planes, covered: read.append(1) or measure(planes, covered)
    )
    check(write(tmp_path / "a.tif"), row(), row("zo1", 0, 2), pixels=True)
    assert len(read) == 3


def noise():
    return np.random.default_rng(0).normal(500, 20, (4, 64, 64)).astype(np.float32)


@pytest.mark.parametrize(
    ("place", "value", "severity", "words"),
    [
        (np.s_[0, 0], np.nan, ERROR, "holds 64 voxels that are not finite numbers"),
        (np.s_[:], np.nan, ERROR, "holds 16,384 voxels that are not finite numbers"),
        (np.s_[:], 3, ERROR, "is constant (every voxel is 3)"),
        (np.s_[2], 3, WARNING, "has one value throughout 1 plane (2)"),
        (np.s_[0, 5, 5], 60000, WARNING, "holds 1 hot voxel, up to 60000 (median 499.9)"),
    ],
)
def test_odd_intensities(place, value, severity, words):
    voxels = noise()
    voxels[place] = value
    ((found, text),) = judge(measure(voxels))
    assert found == severity
    assert words in text


def test_saturation():
    voxels = noise().astype(np.uint16)
    assert list(judge(measure(voxels))) == []
    voxels[:, :8] = 4095
    ((severity, text),) = judge(measure(voxels))
    assert severity == WARNING
    assert "is saturated: 12 % of its voxels have the highest value that the camera gives, 4095" in text


def test_a_mask_is_not_saturated():
    voxels = np.zeros((4, 64, 64), np.uint8)
    voxels[:, :8] = 255
    assert list(judge(measure(voxels))) == []


def test_a_gap_between_tiles():
    covered = np.ones((64, 64), bool)
    covered[:, :16] = False
    ((severity, text),) = judge(measure(noise(), covered))
    assert (severity, text[:47]) == (WARNING, "has no recorded tile over 25 % of its area, whi")
