"""Image lists: what is read and what is refused."""

import pytest

from ssp_model.collection.lists import member_name, read_list
from ssp_model.errors import InputError


def test_a_list_keeps_its_rows_columns_and_order(tmp_path):
    path = tmp_path / "tom20.csv"
    path.write_text("note,path_czi,channel_signal,channel_target\nx,data/tom20/b.czi,6,3\ny,data/tom20/a.czi,6,3\n")
    images = read_list(path)
    assert images.columns.tolist() == ["note", "path_czi", "channel_signal", "channel_target"]
    assert images.path_czi.tolist() == ["data/tom20/b.czi", "data/tom20/a.czi"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"is not an image list \(CSV\): .*\. Correct the file"),
        (
            "path_czi,channel_signal\n",
            r"has no column channel_target \(its columns: path_czi, channel_signal\)",
        ),
        ("path_czi,channel_signal,channel_target\n", "lists no image; add a row for each image"),
        ("path_czi,channel_signal,channel_target\na,1,2\na,1,2\n", "lists a twice; keep one row for each image"),
        ("path_czi,channel_signal,channel_target\na,1,x\n", "has channel_target 'x' for a; write a whole number"),
        ("path_czi,channel_signal,channel_target\na,-1,2\n", "has channel_signal .*-1.* for a"),
    ],
)
def test_a_wrong_list_is_refused_plainly(tmp_path, text, sentence):
    path = tmp_path / "tom20.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"tom20.csv {sentence}"):
        read_list(path)


def test_an_image_is_found_by_its_last_two_parts():
    assert member_name("data/tom20/a.czi") == member_name("/elsewhere/tom20/a.czi") == "tom20/a.czi"
