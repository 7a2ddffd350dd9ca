"""Archives: the listed images, one by one, or the reason why there is none."""

import io
import logging
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssp_model.collection.archive import unpack
from ssp_model.errors import InputError


def pack(path: Path, members: list[tuple[str, bytes | str]], mode: str = "w:gz") -> Path:
    """A tar of files, by name and content; a content that is text makes a symbolic link."""
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def pack_zip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def pack_folder(path: Path, members: list[tuple[str, bytes]]) -> Path:
    for name, content in members:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def contents(archive: Path, names: set[str] | list[str]) -> dict[str, bytes | str]:
    """What is unpacked for each name, in order: its content, or the problem with it."""
    folder = Path(tempfile.mkdtemp(dir=archive.parent))
    found = list(unpack(archive, folder, names))
    assert len(found) == len({image.name for image in found})
    return {image.name: image.path.read_bytes() if image.path else image.problem for image in found}


def test_listed_images_are_unpacked_in_the_order_of_the_archive(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", [("tom20/b.czi", b"b"), ("tom20/x.czi", b"x"), ("data/tom20/a.czi", b"a")])
    found = contents(archive, {"tom20/a.czi", "tom20/b.czi"})
    assert list(found.items()) == [("tom20/b.czi", b"b"), ("tom20/a.czi", b"a")]
    assert len(list(tmp_path.rglob("*.czi"))) == 2


def test_an_image_keeps_its_file_name_and_has_a_folder_of_its_own(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", [("x/a.czi", b"1"), ("y/a.czi", b"2")])
    found = list(unpack(archive, tmp_path, {"x/a.czi", "y/a.czi"}))
    assert [image.path.name for image in found] == ["a.czi", "a.czi"]
    assert [image.path.read_bytes() for image in found] == [b"1", b"2"]
    assert all(list(image.path.parent.iterdir()) == [image.path] and image.is_copy for image in found)


@pytest.mark.parametrize("make", [pack, pack_zip, pack_folder])
def test_each_container_gives_the_same_images(tmp_path, make):
    archive = make(tmp_path / "archive", [("tom20/a.czi", b"a"), ("tom20/b.czi", b"b"), ("tom20/._a.czi", b"fork")])
    assert contents(archive, {"tom20/a.czi", "tom20/b.czi"}) == {"tom20/a.czi": b"a", "tom20/b.czi": b"b"}


def test_files_of_a_folder_are_used_where_they_are(tmp_path):
    pack_folder(tmp_path / "tom20", [("a.czi", b"a")])
    link = tmp_path / "tom20.tar.gz"
    link.symlink_to(tmp_path / "tom20")
    (image,) = unpack(link, tmp_path / "not made", {"tom20/a.czi"})
    assert (image.path, image.is_copy) == ((tmp_path / "tom20/a.czi").resolve(), False)


def test_names_in_another_form_are_found_and_said(tmp_path, caplog):
    members = [("TOM20/a.czi", b"a"), ("TOM20/e\u0301.czi", b"e"), ("TOM20/sub/c.czi", b"c")]
    archive = pack(tmp_path / "a.tar.gz", members)
    with caplog.at_level(logging.WARNING):
        found = contents(archive, ["tom20/a.czi", "tom20/\u00e9.czi", "tom20/c.czi"])
    assert found == {"tom20/a.czi": b"a", "tom20/\u00e9.czi": b"e", "tom20/c.czi": b"c"}
    assert "3 of the 3 listed images are used under other names there, such as TOM20/a.czi for" in caplog.text


def test_exact_names_need_one_pass(tmp_path, monkeypatch, caplog):
    archive = pack(tmp_path / "a.tar.gz", [("tom20/a.czi", b"a"), ("TOM20/b.czi", b"b")])
    passes = []
    opened = tarfile.TarFile.open
    monkeypatch.setattr(tarfile.TarFile, "open", lambda *args, **options: passes.append(1) or opened(*args, **options))
    contents(archive, {"tom20/a.czi"})
    contents(archive, {"tom20/a.czi", "tom20/missing.czi"})
    assert len(passes) == 2
    assert not caplog.records
    assert contents(archive, {"tom20/a.czi", "tom20/b.czi"}) == {"tom20/a.czi": b"a", "tom20/b.czi": b"b"}
    assert len(passes) == 4


def test_images_that_are_not_in_the_archive_come_last_with_the_nearest_names(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", [("tom20/img_1.czi", b"1"), ("tom20/img_2.czi", b"2")])
    found = contents(archive, ["tom20/img_12.czi", "tom20/img_1.czi"])
    assert list(found) == ["tom20/img_1.czi", "tom20/img_12.czi"]
    assert found["tom20/img_12.czi"].startswith(
        f"tom20/img_12.czi is in the image list but not in {archive}, where the nearest names are tom20/img_"
    )


def test_a_name_that_could_mean_two_members_is_not_guessed(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", [("tom20/a.czi", b"1"), ("x/b.czi", b"2"), ("y/b.czi", b"3")])
    found = contents(archive, {"tom20/a.czi", "tom20/b.czi"})
    assert found["tom20/a.czi"] == b"1"
    assert "where it may be any of x/b.czi, y/b.czi; write the one you mean" in found["tom20/b.czi"]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (
            ["x/a.czi", "y/a.czi", "x/b.czi", "y/b.czi"],
            "the archive's folders are called x, y, and it holds files",
        ),
        (["TOM20/1.czi"], "the archive's folder is called TOM20, and it holds files such as TOM20/1.czi; correct"),
        (["1.czi", "2.czi"], "the archive has no folder, and it holds files such as 1.czi, 2.czi; correct"),
        (["tom20/1.czi", "2.czi"], ": it holds files such as tom20/1.czi, 2.czi; correct"),
        ([], "it holds no file; pack it again"),
    ],
)
def test_an_archive_with_none_of_the_images_is_refused_in_one_sentence(tmp_path, members, said):
    archive = pack(tmp_path / "a.tar.gz", [(name, b"") for name in members])
    with pytest.raises(InputError, match=r"a.tar.gz holds none of the 2 listed images, such as tom20/a.czi") as stopped:
        contents(archive, ["tom20/a.czi", "tom20/b.czi"])
    assert said in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_links_inside_the_archive_are_followed(tmp_path):
    archive = pack(
        tmp_path / "a.tar.gz",
        [
            ("tom20/first.czi", "../data/real.czi"),
            ("data/real.czi", b"image"),
            ("tom20/last.czi", "first.czi"),
            ("tom20/b.czi", b"b"),
        ],
    )
    names = {"tom20/first.czi", "tom20/last.czi", "data/real.czi", "tom20/b.czi"}
    found = contents(archive, names - {"data/real.czi"})
    assert found == {"tom20/b.czi": b"b", "tom20/first.czi": b"image", "tom20/last.czi": b"image"}
    # also where the content is listed itself
    assert contents(archive, names) == found | {"data/real.czi": b"image"}


def test_a_hard_link_is_its_file_and_one_to_itself_is_nothing(tmp_path):
    archive = pack(tmp_path / "a.tar", [("tom20/real.czi", b"image")], "w")
    with tarfile.open(archive, "a") as tar:
        for name in ("tom20/link.czi", "tom20/real.czi"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.LNKTYPE, "tom20/real.czi"
            tar.addfile(member)
    found = contents(archive, {"tom20/real.czi", "tom20/link.czi"})
    assert found == {"tom20/real.czi": b"image", "tom20/link.czi": b"image"}


@pytest.mark.parametrize("target", ["gone.czi", "a.czi", "b.czi"])
def test_a_link_to_no_file_is_a_sentence(tmp_path, target):
    archive = pack(tmp_path / "a.tar", [("tom20/a.czi", target), ("tom20/b.czi", "a.czi"), ("tom20/c.czi", b"c")], "w")
    found = contents(archive, {"tom20/b.czi", "tom20/c.czi"})
    assert found["tom20/c.czi"] == b"c"
    assert "b.czi is in the image list, but in " in found["tom20/b.czi"]
    assert "a.tar it is a link to tom20/a.czi, which is no file there; pack" in found["tom20/b.czi"]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (("tom20/a.czi", b"1"), ", with the same content; keep it there once"),
        (("tom20/a.czi", b"2"), ", with different contents; keep it there once"),
        (("tom20/a.czi", "b.czi"), ", once as a link; keep it there once"),
        (("data/tom20/a.czi", b"1"), r" \(tom20/a.czi and data/tom20/a.czi\); keep it there once"),
    ],
)
def test_an_image_that_is_there_twice_is_refused(tmp_path, second, said):
    archive = pack(tmp_path / "a.tar.gz", [("tom20/a.czi", b"1"), second])
    with pytest.raises(InputError, match=f"a.tar.gz holds tom20/a.czi twice{said}"):
        contents(archive, {"tom20/a.czi"})


def test_an_image_that_is_there_twice_under_another_name_is_refused(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", [("TOM20/a.czi", b"1"), ("TOM20/a.czi", b"1")])
    with pytest.raises(InputError, match="holds tom20/a.czi twice, with the same content"):
        contents(archive, {"tom20/a.czi"})


@pytest.mark.parametrize("make", [pack, pack_zip])
def test_an_image_larger_than_the_room_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, make):
    archive = make(tmp_path / "archive", [("tom20/a.czi", bytes(2000))])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1999))
    with pytest.raises(InputError, match=r"a.czi in .*archive takes 2,000 bytes, but .* has room for 1,999; make room"):
        contents(archive, {"tom20/a.czi"})
    assert not list(tmp_path.rglob("*.czi"))


def test_a_folder_that_can_not_be_written_is_told(tmp_path):
    archive = pack(tmp_path / "a.tar", [("tom20/a.czi", b"a")], "w")
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match="a.tar can't be unpacked: the system says 'Not a directory' at .*; check that"
    ):
        list(unpack(archive, tmp_path / "file", {"tom20/a.czi"}))


ODD = ["concatenated", "hardlink", "mac_appledouble", "no_folder", "zip"]


@pytest.mark.parametrize("odd", ODD)
def test_a_collection_packed_in_an_odd_way_gives_the_same_images(shared_data, tmp_path, odd):
    names = [f"tom20/img_{number:02d}.ome.tif" for number in range(10)]
    folder = shared_data / "odd/archives"
    with tarfile.open(folder / "good.tar.gz") as tar:
        wanted = {name: tar.extractfile(name).read() for name in names}
    assert {
        image.name: image.path.read_bytes() for image in unpack(folder / f"{odd}.tar.gz", tmp_path, names)
    } == wanted
