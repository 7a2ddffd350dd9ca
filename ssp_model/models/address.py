"""Where a model is: a path, or an address with the checksum that the model must have."""

import re
from pathlib import Path
from typing import NamedTuple

from ssp_model.errors import InputError

CHECKSUM = "#sha256="
"""What stands between an address and its checksum, as in the addresses that pip reads."""


class ModelAddress(NamedTuple):
    """A path, or an address.

    Attributes
    ----------
    text : str
        As it was given.
    scheme : str
        `https`, `http` or `s3`; empty for a path.
    place : str
        The path or address, without the checksum.
    sha256 : str, or None
        Checksum that the model must have.
    """

    text: str
    scheme: str
    place: str
    sha256: str | None


def parse_address(text: str | Path) -> ModelAddress:
    """Read where a model is, such as `https://host/model.safetensors#sha256=9f86...`.

    Raises
    ------
    InputError
        The kind of address is not supported, its checksum is missing or can't be read, or it names no file.
    """
    text = str(text)
    if "://" not in text:
        return ModelAddress(text, "", text, None)
    scheme = text.partition("://")[0].lower()
    if scheme not in ("https", "http", "s3"):
        raise InputError(f"{text}: {scheme}:// is not supported for a model; give a path, https://, http:// or s3://.")
    place, mark, checksum = text.partition(CHECKSUM)
    if not mark and scheme != "s3":
        raise InputError(
            f"{text} has no checksum, and without one a changed or damaged file would go unnoticed; add {CHECKSUM} and "
            "the 64 characters that sha256sum prints for the model file."
        )
    # 000... only holds the place of a checksum, and Snakemake takes it for an endless loop between rules
    if mark and (not re.fullmatch("[0-9a-fA-F]{64}", checksum) or re.search(r"(.{1,3})\1{19,}$", checksum)):
        raise InputError(
            f"{text} has {checksum!r} after {CHECKSUM}, but wanted are the 64 characters of 0-9 and a-f that sha256sum "
            "prints for the model file; correct the address."
        )
    if scheme == "s3" and not re.fullmatch("s3://[^/]+/.*[^/]", place, re.IGNORECASE):
        raise InputError(
            f"{text} names no object; give a bucket and a key, such as s3://bucket/folder/model.safetensors."
        )
    return ModelAddress(text, scheme, place, checksum.lower() or None)
