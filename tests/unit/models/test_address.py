"""Where a model is: what is understood, and what is refused in one sentence."""

import re
from pathlib import Path

import pytest

from ssp_model.errors import InputError
from ssp_model.models.address import ModelAddress, parse_address

SUM = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "scheme", "place", "sha256"),
    [
        ("model.safetensors", "", "model.safetensors", None),
        (Path("/models/a.safetensors"), "", "/models/a.safetensors", None),
        ("~/a#sha256=b.safetensors", "", "~/a#sha256=b.safetensors", None),
        (f"https://host/a?b=c#sha256={SUM}", "https", "https://host/a?b=c", SUM),
        (f"HTTP://host/a#sha256={SUM.upper()}", "http", "HTTP://host/a", SUM),
        ("s3://lab/a.safetensors", "s3", "s3://lab/a.safetensors", None),
        (f"s3://lab/a #1.safetensors#sha256={SUM}", "s3", "s3://lab/a #1.safetensors", SUM),
    ],
)
def test_paths_and_addresses_are_understood(text, scheme, place, sha256):
    assert parse_address(text) == ModelAddress(str(text), scheme, place, sha256)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "https://host/a.safetensors",
            "https://host/a.safetensors has no checksum, and without one a changed or damaged file would go unnoticed; "
            "add #sha256= and the 64 characters that sha256sum prints for the model file.",
        ),
        ("http://host/a#readme", "http://host/a#readme has no checksum, and"),
        (
            "https://host/a#sha256=abc",
            "https://host/a#sha256=abc has 'abc' after #sha256=, but wanted are the 64 characters of 0-9 and a-f that "
            "sha256sum prints for the model file; correct the address.",
        ),
        ("s3://lab/a#sha256=", "has '' after #sha256=, but wanted"),
        (f"https://host/a#sha256={SUM}0", f"has '{SUM}0' after"),
        (f"https://host/a#sha256={'0' * 64}", f"has '{'0' * 64}' after"),
        (
            "ftp://host/a.safetensors",
            "ftp://host/a.safetensors: ftp:// is not supported for a model; give a path, https://, http:// or s3://.",
        ),
        (
            "s3://lab",
            "s3://lab names no object; give a bucket and a key, such as s3://bucket/folder/model.safetensors.",
        ),
        ("s3://lab/folder/", "names no object"),
        ("s3:///a", "names no object"),
    ],
)
def test_what_can_not_be_used_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        parse_address(text)
