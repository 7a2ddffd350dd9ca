"""Image files that paths, folders and patterns mean."""

import pytest

from ssp_model.errors import InputError
from ssp_model.images.find import find_images


@pytest.fixture
def folder(tmp_path):
    for name in ("b.czi", "a.TIF", "notes.txt", "._a.tif", "plate/c.czi", "d.zarr/zarr.json", "d.zarr/0/e.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(found, folder):
    return [str(path.relative_to(folder)) for path in found]


def test_the_images_of_a_folder_are_sorted_and_a_zarr_is_one(folder):
    assert names(find_images([folder]), folder) == ["a.TIF", "b.czi", "d.zarr"]


def test_a_zarr_folder_is_an_image(folder):
    assert names(find_images([folder / "d.zarr"]), folder) == ["d.zarr"]


def test_a_pattern_does_not_look_into_a_zarr(folder):
    assert names(find_images([f"{folder}/**/*.czi"]), folder) == ["b.czi", "plate/c.czi"]
    with pytest.raises(InputError, match="matches no image"):
        find_images([f"{folder}/**/*.tif"])


def test_each_image_comes_once_in_the_order_given(folder):
    found = find_images([folder / "plate/c.czi", folder, folder / "b.czi"])
    assert names(found, folder) == ["plate/c.czi", "a.TIF", "b.czi", "d.zarr"]


def test_a_file_may_have_any_name(folder):
    (folder / "a[1]*.czi").touch()
    assert names(find_images([folder / "a[1]*.czi", folder / "notes.txt"]), folder) == ["a[1]*.czi", "notes.txt"]


def test_what_does_not_exist_is_left_to_the_reader(folder):
    assert find_images([folder / "missing.czi"]) == [folder / "missing.czi"]


def test_a_folder_without_images_is_refused_with_the_pattern_to_write(folder):
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r'is a folder without an image in it .* "/.*/empty/\*\*/\*\.czi"\.$'):
        find_images([folder / "empty"])
