"""Objects in S3, read by boto3, which the extra `cluster` installs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.log import progress

REFUSED = {"401", "403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
MISSING = {"404", "NotFound", "NoSuchBucket", "NoSuchKey"}


class ObjectVersion(NamedTuple):
    """The version of an object: it changes whenever the object is written anew."""

    etag: str
    number: str | None
    num_bytes: int


def find_version(address: str) -> ObjectVersion:
    """Return the version that an object has now.

    Raises
    ------
    InputError
        There is no such object, it can't be read or reached, or boto3 is not installed.
    """
    with _told_plainly(address):
        head = _client().head_object(**_names(address))
        return ObjectVersion(head["ETag"], head.get("VersionId"), head["ContentLength"])


def download_object(address: str, version: ObjectVersion, target: Path, *, sha256: str | None = None) -> None:
    """Write a version of an object to the path `target`, whole and checked, or not at all.

    Raises
    ------
    InputError
        As for `find_version`; or the object was written anew meanwhile, its checksum is wrong, or the disk is full.
    """
    from ssp_model.fetch import check_file

    with (
        _told_plainly(address),
        replacing(target) as part,
        part.open("wb") as file,
        progress(target.name, version.num_bytes / 1e6, "MB") as advance,
    ):
        _client().download_fileobj(
            **_names(address),
            Fileobj=file,
            ExtraArgs={"VersionId": version.number} if version.number else {},
            Callback=lambda num_bytes: advance(num_bytes / 1e6),
            Config=_one_part_at_a_time(),
        )
        file.flush()
        os.fsync(file.fileno())
        # a bucket that numbers no versions may have given another one
        if not version.number and find_version(address) != version:
            raise InputError(f"{address} was written anew while it was read; run again.")
        check_file(part, address, version.num_bytes, sha256)


def _names(address: str) -> dict[str, str]:
    bucket, _, key = address[len("s3://") :].partition("/")
    return {"Bucket": bucket, "Key": key}


def _client() -> Any:
    """Return a client, with the address and keys of Snakemake's storage where they are set."""
    import boto3

    settings = {
        "endpoint_url": "ENDPOINT_URL",
        "region_name": "REGION",
        "aws_access_key_id": "ACCESS_KEY",
        "aws_secret_access_key": "SECRET_KEY",
        "aws_session_token": "TOKEN",
    }
    given = {name: os.environ.get(f"SNAKEMAKE_STORAGE_S3_{variable}") for name, variable in settings.items()}
    return boto3.client("s3", **{name: value for name, value in given.items() if value})


def _one_part_at_a_time() -> Any:
    from boto3.s3.transfer import TransferConfig

    # a progress bar is not for several threads
    return TransferConfig(use_threads=False)


@contextmanager
def _told_plainly(address: str) -> Iterator[None]:
    """Raise what goes wrong as one sentence."""
    try:
        import boto3  # noqa: F401 told here if it is missing
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
        from s3transfer.exceptions import RetriesExceededError

        yield
    except ImportError:
        raise InputError(
            f"{address}: reading from S3 needs boto3, which is not installed; install the extra cluster "
            "(pip install '.[cluster]' in the project's folder)."
        ) from None
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in MISSING:
            raise InputError(f"{address}: there is no such object; check the bucket and the key.") from None
        if code in REFUSED:
            raise InputError(
                f"{address}: S3 does not let you read it ({code}); check your keys, and that they may read this bucket."
            ) from None
        raise InputError(f"{address}: {error}; check the address, or run again later.") from None
    except (NoCredentialsError, PartialCredentialsError):
        raise InputError(
            f"{address}: there are no keys for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run "
            "aws configure."
        ) from None
    except (BotoCoreError, RetriesExceededError) as error:
        raise InputError(f"{address}: S3 can't be read ({error}); check the address and the network.") from None
    except OSError as error:
        raise InputError(
            f"{address} can't be written to {error.filename or 'the disk'} ({error.strerror}); free some space or "
            "check the folder, and run again."
        ) from None
