"""Containers of images: what an archive is, by its bytes; damage and danger."""

import bz2
import gzip
import io
import lzma
import random
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard

from ssp_model.collection.containers import damage_told, members
from ssp_model.errors import InputError

IMAGES = {"tom20/a.czi": random.Random(0).randbytes(99_999), "tom20/b.czi": bytes(range(256)) * 99}
COMPRESS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "gzip twice": lambda data: gzip.compress(gzip.compress(data)),
    "gzip in zstd": lambda data: zstandard.compress(gzip.compress(data)),
}


def tar_of(images: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in images.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zip_of(images: dict[str | zipfile.ZipInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    return file.getvalue()


def read(path: Path) -> dict[str, bytes]:
    with damage_told(path):
        return {member.name: member.open().read() for member in members(path)}


@pytest.fixture
def archive(tmp_path):
    # the name says nothing
    return tmp_path / "tom20.bin"


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
def test_a_tar_is_read_however_it_is_compressed(archive, compress):
    archive.write_bytes(compress(tar_of(IMAGES)))
    assert read(archive) == IMAGES


@pytest.mark.parametrize("force_zip64", [False, True])
def test_a_zip_is_read(archive, force_zip64):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.mkdir("tom20")
        for name, content in IMAGES.items():
            with file.open(name, "w", force_zip64=force_zip64) as member:
                member.write(content)
    assert read(archive) == IMAGES


def test_a_tar_that_holds_a_zip_is_a_tar(archive):
    images = {"PK/a.zip": zip_of(IMAGES), "BZh9/a.czi": b"a"}
    archive.write_bytes(tar_of(images))
    assert read(archive) == images


def test_zstd_of_several_frames_is_read_in_full(archive):
    data = tar_of(IMAGES)
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00size"
    archive.write_bytes(skipped + zstandard.compress(data[:5000]) + zstandard.compress(data[5000:]))
    assert read(archive) == IMAGES


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
def test_joined_tars_are_read_in_full(archive, compress):
    first, second = ({name: content} for name, content in IMAGES.items())
    archive.write_bytes(compress(tar_of(first) + tar_of(second)))
    assert read(archive) == IMAGES
    archive.write_bytes(compress(tar_of(first)) + compress(tar_of(second)))
    assert read(archive) == IMAGES


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
def test_a_truncated_tar_is_refused(archive, compress, share):
    whole = compress(tar_of(IMAGES)[:-9000])
    archive.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"tom20.bin \([\d,]+ bytes\) is truncated, damaged or not a tar or zip .*"):
        read(archive)


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
def test_a_tar_that_lost_its_last_byte_is_refused(archive, compress):
    # the end of a tar, which is zeros, would not be missed
    archive.write_bytes(compress(tar_of(IMAGES))[:-1])
    with pytest.raises(InputError, match="is truncated, damaged or not a tar"):
        read(archive)


def test_a_tar_cut_between_two_images_is_refused(archive):
    whole = tar_of(IMAGES)
    archive.write_bytes(gzip.compress(whole[: whole.index(b"tom20/b.czi")]))
    with pytest.raises(InputError, match="the end of the tar is missing"):
        read(archive)


def test_a_damaged_header_is_not_the_end_of_the_tar(archive):
    whole = bytearray(tar_of(IMAGES))
    whole[whole.index(b"tom20/b.czi")] ^= 1
    archive.write_bytes(whole)
    with pytest.raises(InputError, match=r"\(bad checksum at byte 100,864 of the tar\)"):
        read(archive)


def test_a_wrong_checksum_of_gzip_is_refused(archive):
    whole = bytearray(gzip.compress(tar_of(IMAGES)))
    whole[-8] ^= 1
    archive.write_bytes(whole)
    with pytest.raises(InputError, match="CRC check failed"):
        read(archive)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_data_behind_the_end_are_told(archive, compress):
    archive.write_bytes(compress(tar_of(IMAGES)) + b"<html>" * 99)
    with pytest.raises(InputError, match="is truncated, damaged or not a tar"):
        read(archive)


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"\x89PNG" * 999, gzip.compress(b"text")])
def test_what_is_no_archive_is_refused(archive, content):
    archive.write_bytes(content)
    with pytest.raises(InputError, match="download it again, or, if it is your own, copy it or pack it again"):
        read(archive)


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.99])
def test_a_truncated_zip_is_refused(archive, share):
    whole = zip_of(IMAGES)
    archive.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match="is truncated, damaged or not a tar or zip"):
        read(archive)


def test_a_damaged_member_of_a_zip_is_refused(archive):
    whole = bytearray(zip_of({"tom20/a.czi": bytes(9)}))
    whole[whole.index(b"tom20/a.czi") + 12] ^= 255
    archive.write_bytes(whole)
    with pytest.raises(InputError, match="is truncated, damaged or not a tar or zip"):
        read(archive)


def test_joined_zips_are_told(archive):
    first, second = (zip_of({name: content}) for name, content in IMAGES.items())
    archive.write_bytes(first + second)
    with pytest.raises(InputError, match="other data, such as a second zip, stand before its first member"):
        read(archive)


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (6, 1, r"is encrypted.*pack it again, without a password"),
        (8, 9, r"compression .*as .zip with Deflate"),
    ],
)
def test_a_zip_with_a_password_or_another_compression_is_told(archive, offset, value, said):
    whole = bytearray(zip_of(IMAGES))
    whole[offset] = value
    whole[whole.index(b"PK\x01\x02") + offset + 2] = value
    archive.write_bytes(whole)
    with pytest.raises(InputError, match=f"tom20/a.czi in .*tom20.bin can't be unpacked .*{said}"):
        read(archive)


@pytest.mark.parametrize("make", [tar_of, zip_of])
@pytest.mark.parametrize(
    "added", ["._tom20", "tom20/._a.czi", "tom20/.DS_Store", "__MACOSX/tom20/x.czi", "tom20/Thumbs.db"]
)
def test_what_macos_and_windows_add_is_no_member(archive, make, added):
    archive.write_bytes(make({added: b"x"} | IMAGES))
    assert read(archive) == IMAGES


@pytest.mark.parametrize("make", [tar_of, zip_of])
@pytest.mark.parametrize("name", ["./tom20/a.czi", "/tom20/a.czi", "tom20\\a.czi", "tom20//a.czi"])
def test_names_are_told_in_one_form(archive, make, name):
    archive.write_bytes(make({name: b"a"}))
    assert read(archive) == {"tom20/a.czi": b"a"}


def test_bytes_of_a_name_that_are_no_utf_8_are_replaced(archive):
    archive.write_bytes(tar_of({"tom20/\udce9.czi": b"a"}))
    assert read(archive) == {"tom20/\ufffd.czi": b"a"}


def test_a_name_that_macos_wrote_into_a_zip_is_read_as_utf_8(archive):
    # zipfile says that it is UTF-8; macOS does not
    whole = bytearray(zip_of({"e\u0301.czi": b"a"}))
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        whole[whole.index(start) + (6 if start.endswith(b"\x04") else 8) + 1] &= ~0x08
    archive.write_bytes(whole)
    assert read(archive) == {"e\u0301.czi": b"a"}


@pytest.mark.parametrize("make", [tar_of, zip_of])
@pytest.mark.parametrize("name", ["../escaped.czi", "tom20/../../escaped.czi", "..\\escaped.czi"])
def test_an_archive_with_a_member_that_leads_out_is_refused(archive, make, name):
    archive.write_bytes(make(IMAGES | {name: b"evil"}))
    with pytest.raises(InputError, match="tom20.bin is not safe to unpack: its member .*escaped.czi leads out"):
        read(archive)


def tar_with(archive: Path, kind: bytes, target: str) -> None:
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("tom20/a.czi")
        member.type, member.linkname = kind, target
        tar.addfile(member)


@pytest.mark.parametrize("filter_is_there", [True, False])
@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../../escaped.czi"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "../escaped.czi"),
    ],
)
def test_an_archive_with_a_link_that_leads_out_is_refused(archive, monkeypatch, kind, target, filter_is_there):
    if not filter_is_there:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    tar_with(archive, kind, target)
    with pytest.raises(InputError, match="is not safe to unpack"):
        read(archive)


def test_an_archive_with_a_device_is_refused(archive):
    tar_with(archive, tarfile.FIFOTYPE, "")
    with pytest.raises(InputError, match="is not safe to unpack"):
        read(archive)


def zip_with_link(target: str) -> bytes:
    link = zipfile.ZipInfo("tom20/a.czi")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return zip_of({link: target.encode(), "b.czi": b"b"})


@pytest.mark.parametrize("target", ["/etc/passwd", "../../escaped.czi"])
def test_a_zip_with_a_link_that_leads_out_is_refused(archive, target):
    archive.write_bytes(zip_with_link(target))
    with pytest.raises(InputError, match=f"is not safe to unpack: its link to {target} leads out"):
        read(archive)


def test_a_link_names_the_member_that_it_leads_to(archive):
    archive.write_bytes(zip_with_link("../b.czi"))
    assert {member.name: member.link for member in members(archive)} == {"tom20/a.czi": "b.czi", "b.czi": None}
    for kind, target in ((tarfile.SYMTYPE, "../b.czi"), (tarfile.LNKTYPE, "./b.czi")):
        tar_with(archive, kind, target)
        assert {member.name: member.link for member in members(archive)} == {"tom20/a.czi": "b.czi"}


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
def test_damage_never_ends_in_a_traceback_or_in_other_images(archive, compress):
    """A checksum, or the shape of a tar, tells each flipped byte that matters."""
    whole = compress(tar_of(IMAGES))
    numbers = random.Random(zlib.crc32(whole))
    for _ in range(30):
        damaged = bytearray(whole)
        damaged[numbers.randrange(len(damaged))] ^= 1 << numbers.randrange(8)
        archive.write_bytes(damaged)
        try:
            found = read(archive)
        except InputError:
            continue
        # of a plain tar only the headers have checksums
        assert compress is bytes or found == IMAGES


def test_a_damaged_zip_never_ends_in_a_traceback_or_in_other_images(archive):
    whole = zip_of(IMAGES)
    for position in [*range(80), *range(len(whole) - 200, len(whole))]:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        archive.write_bytes(damaged)
        try:
            found = read(archive)
        except InputError:
            continue
        assert set(found.values()) <= set(IMAGES.values())
