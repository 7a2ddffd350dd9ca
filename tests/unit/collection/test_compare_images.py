"""Images of a table that are one, or do not go together."""

from pathlib import Path

import pytest

from ssp_model.collection.check_image import ERROR, WARNING, ChannelUse, CheckedImage, Place
from ssp_model.collection.compare_images import PROBE, mixed_channels, mixed_voxel_sizes, same_content
from ssp_model.files import size_of


def checked(path: Path) -> CheckedImage:
    return CheckedImage(path.name, path, {"tom20"}, size_of(path))


def write(path: Path, content: bytes) -> CheckedImage:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return checked(path)


def names(problems):
    return [(problem.severity, problem.image, problem.structure) for problem in problems]


def test_the_same_content_under_two_names_is_an_error(tmp_path):
    images = [write(tmp_path / name, b"abc") for name in ("a.czi", "b.czi", "c.czi")]
    found = same_content([*images, write(tmp_path / "d.czi", b"abd"), write(tmp_path / "e.czi", b"abcd")])
    assert names(found) == [(ERROR, "b.czi", "tom20"), (ERROR, "c.czi", "tom20")]
    assert found[0].problem.startswith("b.czi has the same content as a.czi, ")


@pytest.mark.parametrize("at", [0, PROBE + 5, 5 * PROBE - 1])
def test_large_files_that_differ_anywhere_are_not_the_same(tmp_path, at):
    content = bytearray(5 * PROBE)
    first = write(tmp_path / "a.czi", bytes(content))
    content[at] = 1
    assert same_content([first, write(tmp_path / "b.czi", bytes(content))]) == []


def test_files_are_read_whole_only_if_their_sizes_and_parts_agree(tmp_path, monkeypatch):
    monkeypatch.delattr("ssp_model.collection.compare_images.sha256_of")
    images = [write(tmp_path / "a.czi", b"abc"), write(tmp_path / "b.czi", b"abd"), write(tmp_path / "c.czi", b"ab")]
    assert same_content(images) == []


def test_folders_are_compared_by_all_their_files(tmp_path):
    for name in ("a.zarr", "b.zarr", "c.zarr"):
        write(tmp_path / name / "0", b"abc")
        write(tmp_path / name / ("1" if name != "c.zarr" else "2"), b"def")
    found = same_content([checked(tmp_path / name) for name in ("a.zarr", "b.zarr", "c.zarr")])
    assert names(found) == [(ERROR, "b.zarr", "tom20")]


def use(image, *, role="signal", size=(0.3, 0.3, 0.3), name="Light", dtype="uint16"):
    place = Place(image, None, None, None)
    shape = (4, 5, 6)
    return ChannelUse(image, place, "tom20", role, 0, name, dtype, shape, shape, size)


def test_equal_images_go_together():
    uses = [use("a"), use("b", size=(0.303, 0.3, 0.3)), use("b", role="target", name="GFP", dtype="uint8")]
    assert mixed_voxel_sizes(uses) == mixed_channels(uses) == []


def test_mixed_voxel_sizes_are_a_warning_that_names_two_images():
    (problem,) = mixed_voxel_sizes([use("a"), use("b", size=(0.3, 0.31, 0.3)), use("c"), use("d", size=(1, 0.3, 0.3))])
    assert problem.severity == WARNING
    assert "in 2 of 4 images: 0.3 x 0.3 x 0.3 um in a, 0.3 x 0.31 x 0.3 um in b (Z, Y, X)" in problem.problem


def test_unknown_voxel_sizes_are_a_warning():
    (problem,) = mixed_voxel_sizes([use("a"), use("b", size=None)])
    assert (problem.severity, problem.problem[:55]) == (
        WARNING,
        "1 of 2 images have no known voxel size, such as b; if i",
    )


def test_a_channel_of_another_name_or_type_is_a_warning():
    uses = [use("a"), use("b", dtype="float32"), use("c", name="GFP")]
    assert [(problem.structure, problem.problem) for problem in mixed_channels(uses)] == [
        (
            "tom20",
            "The signal of tom20 is called Light in 2 of 3 samples, but GFP in 1 (c); check that it is the same "
            "channel.",
        ),
        (
            "tom20",
            "The signal of tom20 is uint16 in 2 of 3 samples, but float32 in 1 (b); check that it is the same channel.",
        ),
    ]


def test_channels_without_a_name_do_not_differ():
    assert mixed_channels([use("a"), use("b", name="channel 0")]) == []
