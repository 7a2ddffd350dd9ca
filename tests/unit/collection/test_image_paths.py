"""Images as tables name them, and where they are found."""

import unicodedata
from pathlib import Path

import pytest

from ssp_model.collection.image_paths import find_images, two_names
from ssp_model.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A folder of tables with two images in `plates/`, and an OME-Zarr."""
    for name in ("plates/b.czi", "plates/a.czi", "plates/c.zarr/0/a.czi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "image", ["plates/a.czi", "./plates/../plates/a.czi", r"plates\a.czi", "Plates/A.CZI", "{folder}/plates/a.czi"]
)
def test_a_path_starts_at_the_folder(folder, image):
    assert find_images(image.format(folder=folder), folder) == [str(folder / "plates/a.czi")]


def test_a_bare_name_is_found_beside_the_table(folder):
    assert find_images("a.czi", folder / "plates") == [str(folder / "plates/a.czi")]


def test_the_home_folder_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert find_images("~/plates/a.czi", "/elsewhere") == [str(folder / "plates/a.czi")]
    with pytest.raises(InputError, match="there is no such home folder"):
        find_images("~no-such-user/a.czi", folder)


def test_a_file_address_becomes_a_path(folder):
    (folder / "a b.czi").touch()
    assert find_images(f"file://{folder}/a%20b.czi", "/elsewhere") == [str(folder / "a b.czi")]


@pytest.mark.parametrize("address", ["https://host/a.zarr", "http://host/a.czi?b=1", "s3://bucket/a.zarr"])
def test_other_addresses_stay(address):
    assert find_images(address, "/elsewhere") == [address]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_in_any_unicode_form(tmp_path, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    path = tmp_path / unicodedata.normalize(form, "Zürich") / unicodedata.normalize(form, "ä.czi")
    path.parent.mkdir()
    path.touch()
    assert find_images(unicodedata.normalize(other, "Zürich/ä.czi"), tmp_path) == [str(path)]


def test_a_case_that_could_be_two_files_is_not_mended(tmp_path):
    for name in ("A.czi", "a.czi"):
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system does not tell cases apart")
    assert find_images("a.CZI", tmp_path) == [str(tmp_path / "a.CZI")]


def test_a_backslash_in_a_name_is_kept_where_the_file_has_it(tmp_path):
    (tmp_path / r"a\b.czi").touch()
    assert find_images(r"a\b.czi", tmp_path) == [str(tmp_path / r"a\b.czi")]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("plates/*.czi", ["plates/a.czi", "plates/b.czi"]),
        ("**/*.czi", ["plates/a.czi", "plates/b.czi"]),
        ("plates/*", ["plates/a.czi", "plates/b.czi", "plates/c.zarr"]),
        ("plates/[b].czi", ["plates/b.czi"]),
        ("plates/c.zarr", ["plates/c.zarr"]),
    ],
)
def test_a_pattern_gives_its_images_sorted_and_a_zarr_as_one(folder, pattern, names):
    assert find_images(pattern, folder) == [str(folder / name) for name in names]


def test_brackets_in_a_name_are_no_pattern(folder):
    (folder / "a[1].czi").touch()
    assert find_images("a[1].czi", folder) == [str(folder / "a[1].czi")]
    assert find_images("b[1].czi", folder) == [str(folder / "b[1].czi")]


@pytest.mark.parametrize("image", ["plates/none.czi", "none/a.czi", "a" * 300, "loop"])
def test_a_missing_image_is_left_to_the_checks(folder, image):
    (folder / "loop").symlink_to("loop")
    assert find_images(image, folder) == [str(folder / image)]
    assert list(two_names([str(folder / image)])) == []


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("plates/*.nd2", r"plates/\*.nd2 matches no image \(looked for /.*\); correct the pattern"),
        ("plates", r"plates is a folder, not an image .* such as plates/\*.czi"),
        (r"C:\data\a.czi", r"C:\\data\\a.czi is on the Windows drive C:, which is not on this machine"),
        (r"\\server\share\a.czi", r"is on the Windows drive \\\\server\\share, which is not on this machine"),
        ("gs://bucket/a.czi", "gs:// is not supported; use https://"),
        ("s3://bucket/*.czi", "a pattern works only for files of this machine"),
    ],
)
def test_what_can_not_be_found_is_refused(folder, image, sentence):
    with pytest.raises(InputError, match=sentence):
        find_images(image, folder)


def test_a_drive_is_a_folder_on_windows(folder, monkeypatch):
    monkeypatch.setattr("ssp_model.collection.image_paths._ON_WINDOWS", True)
    (image,) = find_images(r"C:\data\a.czi", folder)
    assert image.endswith("C:/data/a.czi")


def test_two_names_of_one_file_are_found(tmp_path):
    (tmp_path / "a.czi").touch()
    (tmp_path / "link.czi").symlink_to("a.czi")
    (tmp_path / "linked").symlink_to(tmp_path)
    a, link, linked = (str(Path(tmp_path, name)) for name in ("a.czi", "link.czi", "linked/a.czi"))
    other = str(tmp_path / "b.czi")
    assert list(two_names([a, other, a, link, "https://host/a.czi", linked])) == [(a, link), (a, linked)]
