"""Image lists: what is read and what is refused."""

import pytest

from ssp_model.collection.lists import check_list, member_name, read_list
from ssp_model.errors import InputError


def test_a_list_keeps_its_rows_columns_and_order(tmp_path):
    path = tmp_path / "tom20.csv"
    path.write_text("note,path_czi,channel_signal,channel_target\nx,data/tom20/b.czi,6,3\ny,data/tom20/a.czi,6,3\n")
    images = read_list(path)
    assert images.columns.tolist() == ["note", "path_czi", "channel_signal", "channel_target"]
    assert images.path_czi.tolist() == ["data/tom20/b.czi", "data/tom20/a.czi"]
    assert images.channel_signal.tolist() == [6, 6]


def test_a_list_under_the_newer_names_is_read_under_the_older_ones(tmp_path):
    path = tmp_path / "tom20.csv"
    path.write_text("image;signal;target\ndata\\tom20\\b.czi;6;3\n")
    assert read_list(path).to_dict("list") == {
        "path_czi": ["data/tom20/b.czi"],
        "channel_signal": [6],
        "channel_target": [3],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; write a header line"),
        (
            "path_czi,channel_signal\n",
            r"has no column channel_target \(its columns: path_czi, channel_signal\)",
        ),
        ("path_czi,channel_signal,channel_target\n", "lists no image; add a row for each sample"),
        (
            "path_czi,channel_signal,channel_target\na,1,2\na,1,2\n",
            "lists a twice, in lines 2 and 3; keep one of the rows",
        ),
        ("path_czi,channel_signal,channel_target\na,1,x\n", "line 2 has channel_target 'x'; write a whole number"),
        ("path_czi,channel_signal,channel_target\na,-1,2\n", "line 2 has channel_signal .*-1.* for a"),
        ("path_czi,channel_signal,channel_target\na,2,2\n", "line 2 gives a the channel 2 as signal and as target"),
    ],
)
def test_a_wrong_list_is_refused_plainly(tmp_path, text, sentence):
    path = tmp_path / "tom20.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"tom20.csv {sentence}"):
        read_list(path)


def test_an_image_is_found_by_its_last_two_parts():
    assert member_name("data/tom20/a.czi") == member_name("/elsewhere/tom20/a.czi") == "tom20/a.czi"


def test_a_wrong_list_that_was_fetched_is_told_by_its_address(tmp_path):
    (tmp_path / "tom20.csv").write_text('{"error": "no such list"}')
    with pytest.raises(InputError, match=r"^https://lab/tom20\.csv has no column"):
        check_list(tmp_path / "tom20.csv", "https://lab/tom20.csv")
