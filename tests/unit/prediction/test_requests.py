"""Which images to predict."""

from pathlib import Path

import pytest

from ssp_model.errors import InputError
from ssp_model.prediction.requests import ImageRequest, batches, find_requests, from_plain


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two plates with images, among other files."""
    for name in ("p1/a.czi", "p1/b.TIF", "p1/notes.txt", "p1/._a.czi", "p2/a.czi", "p2/c.zarr/zarr.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*images) -> list[str]:
    return [str(request.path) for request in find_requests(images)]


def test_files_patterns_and_folders(folder):
    assert found("p1/notes.txt", "p1/a.czi", "p1/a.czi", "missing.czi") == ["p1/notes.txt", "p1/a.czi", "missing.czi"]
    assert found("p*/a.czi") == ["p1/a.czi", "p2/a.czi"]
    assert found("p2/**") == ["p2/a.czi", "p2/c.zarr"]
    assert found("p1", "p2/c.zarr") == ["p1/a.czi", "p1/b.TIF", "p2/c.zarr"]


def test_a_file_whose_name_looks_like_a_pattern(folder):
    (folder / "a[1].czi").touch()
    assert found("a[1].czi") == ["a[1].czi"]


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("p1/*.nd2", r"^p1/\*\.nd2 matches no image; correct the pattern\.$"),
        ("empty", "^empty is a folder without an image"),
        ("", "^The name of an image is empty"),
    ],
)
def test_what_is_no_image_is_told(folder, image, sentence):
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=sentence):
        find_requests([image])


def test_a_table_with_its_own_channels_and_sizes(folder):
    sizes = "voxel_size_z_um,voxel_size_y_um,voxel_size_x_um"
    (folder / "p1/table.csv").write_text(
        f"Image,Channel,scene,time,{sizes}\na.czi,2,,1,0.3,0.1,0.1\nb.TIF,,B2,,0.3,,\n"
    )
    (folder / "p1/samples.csv").write_text("image;signal;structure\na.czi;0;dna\na.czi;0;tom20\n")
    like = ImageRequest(Path(), "light", None, "z")
    assert find_requests(["p1/table.csv"], like) == [
        ImageRequest(folder / "p1/a.czi", "2", None, 1, (0.3, 0.1, 0.1)),
        ImageRequest(folder / "p1/b.TIF", "light", "B2", "z", (0.3, None, None)),
    ]
    # a table of samples, where an image is in several rows
    assert find_requests(["p1/samples.csv"]) == [ImageRequest(folder / "p1/a.czi", 0)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file\na.czi\n", r"^t\.csv has no column image"),
        ("image\nhttps://x.org/a.czi\n", r"^t\.csv line 2: https://x\.org/a\.czi is not on this machine"),
    ],
)
def test_a_wrong_table_is_told(folder, text, sentence):
    (folder / "t.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        find_requests(["t.csv"])


@pytest.mark.parametrize("size", [(0.3, -1, 1), (0.3, float("nan"), 1), (0.3, 0.1)])
def test_a_voxel_size_that_is_none(size):
    with pytest.raises(InputError, match=r"^The voxel size of a.czi is .* but should be three lengths in um"):
        ImageRequest(Path("a.czi"), voxel_size_um=size)


def test_batches_hold_all_images_and_tell_when_one_changes(folder):
    made = batches(["p1", "p2", "missing.tif"], 3, 2)
    assert [len(batch) for batch in made] == [2, 2, 1]
    assert [r for b in made for r in from_plain(b)] == find_requests(
        ["p1", "p2", "missing.tif"], ImageRequest(Path(), 3)
    )
    assert made[-1][0]["modified"] is None
    (folder / "missing.tif").touch()
    assert batches(["p1", "p2", "missing.tif"], 3, 2)[-1] != made[-1]
