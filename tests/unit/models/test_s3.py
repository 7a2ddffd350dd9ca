"""Objects in S3: against a server that answers as S3 does, and one with faults on demand."""

import errno
import os
import random
import sys

import boto3
import pytest

from ssp_model.errors import InputError
from ssp_model.models import s3
from ssp_model.models.s3 import download_object, find_version
from tests.httpserver import FileServer

CONTENT = random.Random(0).randbytes(100_000)
ADDRESS = "s3://lab/folder/a b.bin"


@pytest.fixture
def bucket(store):
    """A bucket with the object folder/a b.bin."""
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    bucket = boto3.resource("s3", endpoint_url=store, **keys).create_bucket(Bucket="lab")
    bucket.put_object(Key="folder/a b.bin", Body=CONTENT)
    return bucket


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A server with the same object, whose faults are on demand."""
    (tmp_path / "served/lab/folder").mkdir(parents=True)
    (tmp_path / "served/lab/folder/a b.bin").write_bytes(CONTENT)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with FileServer(tmp_path / "served") as server:
        for name, value in {"ENDPOINT_URL": server.url(""), "ACCESS_KEY": "key", "SECRET_KEY": "secret"}.items():
            monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        yield server


def test_an_object_is_downloaded(bucket, tmp_path):
    version = find_version(ADDRESS)
    assert version.num_bytes == len(CONTENT)
    download_object(ADDRESS, version, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_the_version_changes_with_the_content(bucket):
    before = find_version(ADDRESS)
    assert find_version(ADDRESS) == before
    bucket.put_object(Key="folder/a b.bin", Body=CONTENT[::-1])
    assert find_version(ADDRESS) != before


def test_a_bucket_that_numbers_versions_gives_an_earlier_one(bucket, tmp_path):
    client, name = bucket.meta.client, {"Bucket": "numbered", "Key": "a.bin"}
    client.create_bucket(Bucket="numbered")
    client.put_bucket_versioning(Bucket="numbered", VersioningConfiguration={"Status": "Enabled"})
    client.put_object(**name, Body=CONTENT)
    version = find_version("s3://numbered/a.bin")
    client.put_object(**name, Body=CONTENT[::-1])
    download_object("s3://numbered/a.bin", version, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_an_object_that_is_written_anew_meanwhile_is_not_kept(bucket, tmp_path, monkeypatch):
    version = find_version(ADDRESS)
    configure = s3._one_part_at_a_time

    def write_anew():
        bucket.put_object(Key="folder/a b.bin", Body=CONTENT[::-1])
        return configure()

    monkeypatch.setattr(s3, "_one_part_at_a_time", write_anew)
    with pytest.raises(InputError, match="was written anew while it was read; run again"):
        download_object(ADDRESS, version, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["s3://lab/none.bin", "s3://none/a.bin"])
def test_a_missing_object_is_told(bucket, address):
    with pytest.raises(InputError, match=f"^{address}: there is no such object; check the bucket and the key"):
        find_version(address)


def test_a_refusal_is_told(faulty):
    faulty.fail("lab/folder/a b.bin", 403)
    with pytest.raises(InputError, match=r"S3 does not let you read it \(403\); check your keys"):
        find_version(ADDRESS)


def test_any_other_answer_is_told(faulty):
    faulty.fail("lab/folder/a b.bin", 500)
    with pytest.raises(InputError, match=r"\(500\).*check the address, or run again later"):
        find_version(ADDRESS)


def test_without_a_network_it_is_told(faulty):
    faulty.close()
    with pytest.raises(InputError, match=r"S3 can't be read \(Could not connect.*check the address and the network"):
        find_version(ADDRESS)


def test_a_broken_transfer_is_taken_up_again(faulty, tmp_path):
    version = find_version(ADDRESS)
    faulty.cut_after("lab/folder/a b.bin", 10_000)
    download_object(ADDRESS, version, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_transfer_that_always_breaks_is_told_and_leaves_nothing(faulty, tmp_path):
    version = find_version(ADDRESS)
    faulty.cut_after("lab/folder/a b.bin", 10_000, times=50)
    with pytest.raises(InputError, match=r"S3 can't be read \(.*check the address and the network"):
        download_object(ADDRESS, version, tmp_path / "to/a.bin")
    assert list((tmp_path / "to").iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(bucket, tmp_path, monkeypatch):
    def fill(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    version = find_version(ADDRESS)
    monkeypatch.setattr(s3.os, "fsync", fill)
    with pytest.raises(InputError, match=r"can't be written to the disk \(No space left on device\); free some space"):
        download_object(ADDRESS, version, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_without_keys_it_is_told(faulty, monkeypatch, tmp_path):
    monkeypatch.delenv("SNAKEMAKE_STORAGE_S3_ACCESS_KEY")
    monkeypatch.delenv("SNAKEMAKE_STORAGE_S3_SECRET_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / "none"))
    with pytest.raises(InputError, match="there are no keys for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        find_version(ADDRESS)


def test_without_boto3_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(InputError, match=r"needs boto3, which is not installed; install the extra cluster"):
        find_version(ADDRESS)
