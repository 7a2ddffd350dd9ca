"""Archives: the wanted images, one by one, and nothing unsafe."""

import io
import tarfile

import pytest

from ssp_model.collection.archive import unpack
from ssp_model.errors import InputError


def pack(path, members: list[tuple[str, bytes]]):
    """An archive of files, by name and content."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_wanted_images_are_unpacked_in_the_order_of_the_archive(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", [("tom20/b.czi", b"b"), ("tom20/x.czi", b"x"), ("data/tom20/a.czi", b"a")])
    found = {name: path.read_bytes() for name, path in unpack(archive, tmp_path, {"tom20/a.czi", "tom20/b.czi"})}
    assert list(found.items()) == [("tom20/b.czi", b"b"), ("tom20/a.czi", b"a")]
    assert len(list(tmp_path.glob("*.czi"))) == 2


def test_images_of_one_name_do_not_overwrite_each_other(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", [("tom20/a.czi", b"1"), ("tom20/a.czi", b"2")])
    files = [path for _, path in unpack(archive, tmp_path, {"tom20/a.czi"})]
    assert [path.read_bytes() for path in files] == [b"1", b"2"]
    assert {path.suffix for path in files} == {".czi"}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_archive_is_refused(tmp_path, share):
    archive = pack(tmp_path / "a.tar.gz", [("tom20/a.czi", bytes(range(256)) * 999)])
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)] or b"<html>Not found</html>")
    with pytest.raises(InputError, match=r"a.tar.gz \([\d,]+ bytes\) is truncated or not a .tar.gz .*download it"):
        list(unpack(archive, tmp_path, {"tom20/a.czi"}))


def test_an_archive_with_an_unsafe_member_is_refused_though_the_member_is_not_wanted(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    archive = pack(tmp_path / "a.tar.gz", [("../escaped.czi", b"evil"), ("tom20/a.czi", b"a")])
    with pytest.raises(InputError, match=r"a.tar.gz is not safe to unpack: its member ../escaped.czi leads out"):
        list(unpack(archive, folder, {"tom20/a.czi"}))
    assert not list(tmp_path.rglob("*.czi"))


def test_an_archive_with_a_link_that_leads_out_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("tom20/a.czi")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(InputError, match="is not safe to unpack"):
        list(unpack(tmp_path / "a.tar.gz", folder, set()))
