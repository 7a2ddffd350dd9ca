"""Names in an archive: which member is meant."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssp_model.collection.lists import member_name
from ssp_model.collection.names import match

parts = st.text(st.sampled_from("aAbBeE\u00e9\u0301\u00df\\"), min_size=1, max_size=3)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
listed = st.sets(paths.map(member_name), max_size=8)
packed = st.sets(paths, max_size=8)


@given(listed, packed)
def test_no_member_is_meant_by_two_names(names, members):
    matched = match(names, members)
    assert len(set(matched.values())) == len(matched)
    assert matched.keys() <= names
    assert set(matched.values()) <= members


@given(listed, packed)
def test_a_member_with_exactly_the_name_wins(names, members):
    matched = match(names, members)
    for name in names:
        exact = [member for member in members if member_name(member) == name]
        if len(exact) == 1:
            assert matched[name] == exact[0]


@given(listed, packed)
def test_a_match_does_not_depend_on_the_order(names, members):
    assert match(sorted(names), sorted(members)) == match(sorted(names, reverse=True), sorted(members, reverse=True))


@pytest.mark.parametrize(
    "member",
    [
        "tom20/\u00e9t\u00e9.czi",
        "data/tom20/\u00e9t\u00e9.czi",
        unicodedata.normalize("NFD", "tom20/\u00e9t\u00e9.czi"),
        "tom20\\\u00e9t\u00e9.czi",
        "TOM20/\u00c9t\u00e9.CZI",
        "zo1/\u00e9t\u00e9.czi",
        "\u00e9t\u00e9.czi",
        "tom20/raw/\u00e9t\u00e9.czi",
    ],
)
def test_a_name_is_found_in_another_form_case_or_folder(member):
    assert match(["tom20/\u00e9t\u00e9.czi"], [member, "tom20/other.czi"]) == {"tom20/\u00e9t\u00e9.czi": member}


def test_the_stronger_comparison_wins():
    members = ["zo1/a.czi", "TOM20/a.czi"]
    assert match(["tom20/a.czi"], members) == {"tom20/a.czi": "TOM20/a.czi"}
    assert match(["tom20/a.czi"], [*members, "tom20/a.czi"]) == {"tom20/a.czi": "tom20/a.czi"}
    members = ["tom20/e\u0301.czi", "tom20/\u00c9.czi"]
    assert match(["tom20/\u00e9.czi"], members) == {"tom20/\u00e9.czi": "tom20/e\u0301.czi"}


@pytest.mark.parametrize(
    ("names", "members"),
    [
        (["tom20/a.czi"], ["x/a.czi", "y/a.czi"]),
        (["tom20/a.czi", "zo1/a.czi"], ["x/a.czi"]),
        (["tom20/a.czi"], ["Tom20/a.czi", "TOM20/a.czi"]),
        # the first is meant by its own name; the second may be any
        (["tom20/A.czi", "tom20/a.czi"], ["tom20/a.czi", "x/a.czi"]),
    ],
)
def test_what_is_ambiguous_is_not_matched(names, members):
    assert match(names, members).keys() <= {"tom20/a.czi"} & set(members)
