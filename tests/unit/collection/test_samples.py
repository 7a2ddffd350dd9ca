"""Tables of samples: what is read, and what is refused in which sentence."""

import logging
import math
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssp_model.collection.samples import read_samples
from ssp_model.errors import InputError


@pytest.fixture
def write(tmp_path):
    """Write a table beside the images a.czi and b.czi."""
    for name in ("a.czi", "b.czi"):
        (tmp_path / name).touch()

    def table(text: str):
        path = tmp_path / "samples.csv"
        path.write_text(text)
        return path

    return table


def test_all_columns_have_their_types_and_the_rest_is_kept(write, tmp_path):
    path = write(
        "Note,Image,structure,Signal, target ,SCENE,time,Split,group,Voxel size-Z um,voxel_size_y_um\n"
        "007,a.czi,tom20,0,DAPI,P1-A1,3,Validation,plate 1,0.29,\n"
        'x,b.czi,zo1,Bright field,2.0,12,0,TEST,plate 2,"0,5",NA\n'
    )
    samples = read_samples(path)
    sizes = samples.pop("voxel_size_z_um").tolist(), samples.pop("voxel_size_y_um").tolist()
    assert samples.to_dict("list") == {
        "Note": ["007", "x"],
        "image": [str(tmp_path / "a.czi"), str(tmp_path / "b.czi")],
        "structure": ["tom20", "zo1"],
        "signal": [0, "Bright field"],
        "target": ["DAPI", 2],
        "scene": ["P1-A1", 12],
        "time": [3, 0],
        "split": ["val", "test"],
        "group": ["plate 1", "plate 2"],
    }
    assert sizes[0] == [0.29, 0.5]
    assert all(map(math.isnan, sizes[1]))


def test_the_smallest_table_gets_empty_scenes_and_times(write):
    samples = read_samples(write("image,structure,signal,target\na.czi,tom20,0,1\na.czi,zo1,0,2\n"))
    assert samples.columns.tolist() == ["image", "structure", "signal", "target", "scene", "time"]
    assert samples.scene.tolist() == samples.time.tolist() == [None, None]


def test_empty_columns_of_splits_and_groups_are_none(write):
    samples = read_samples(write("image,structure,signal,target,split,group\na.czi,tom20,0,1,,NA\n"))
    assert "split" not in samples
    assert "group" not in samples


def test_a_pattern_gives_a_row_for_each_image(write, tmp_path):
    samples = read_samples(write("image,structure,signal,target,group\n*.czi,tom20,0,1,p\nb.czi,zo1,0,2,p\n"))
    names = ["a.czi", "b.czi", "b.czi"]
    assert samples.image.tolist() == [str(tmp_path / name) for name in names]
    assert samples.structure.tolist() == ["tom20", "tom20", "zo1"]
    assert samples.index.tolist() == [0, 1, 2]


def test_paths_may_start_at_another_folder_than_the_table_s(write, tmp_path):
    (tmp_path / "plates").mkdir()
    (tmp_path / "plates/p.czi").touch()
    samples = read_samples(write("image,structure,signal,target\np.czi,tom20,0,1\n"), folder=tmp_path / "plates")
    assert samples.image.tolist() == [str(tmp_path / "plates/p.czi")]


def test_what_is_written_is_read_back(write, tmp_path):
    text = 'image,structure,signal,target,scene,time,voxel_size_x_um,note\n*.czi,tom20,0,DAPI,A1,2,0.1,"x, y"\n'
    samples = read_samples(write(text))
    (tmp_path / "results").mkdir()
    again = tmp_path / "results/samples.csv"
    samples.to_csv(again, index=False)
    assert read_samples(again).to_dict("list") == samples.to_dict("list")


HEADER = "image,structure,signal,target\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,signal\na,0\n", r" has no column structure or target \(its columns: image, signal\); add it"),
        ("image,path_czi,structure\n", " has two columns for the image, image and path_czi; remove one"),
        (HEADER, " lists no image; add a row"),
        (f"{HEADER}a.czi,tom20,0,\n", " line 2 has no target for a.czi; fill in the cell"),
        (f"{HEADER},tom20,0,1\n", " line 2 has no image; fill in the cell"),
        (f"{HEADER}a.czi,tom20,NA,1\n", " line 2 has no signal for a.czi"),
        (f"{HEADER}a.czi,tom20,1,1\n", " line 2 gives .*a.czi the channel 1 as signal and as target; they must differ"),
        (f"{HEADER}a.czi,tom20,-1,1\n", " line 2 has signal '-1' for a.czi; write a whole number from 0 up, or the"),
        (f"{HEADER}a.czi,tom20,0,1.5\n", " line 2 has target '1.5' for a.czi; write a whole number from 0 up, or the"),
        (
            f"{HEADER}a.czi,tom 20,0,1\n",
            " line 2 has structure 'tom 20' for a.czi; a structure's name is of letters, digits, - and _",
        ),
        (f"{HEADER}a.czi,signal,0,1\n", " line 2 has structure 'signal' .* no structure can be called signal"),
        (f"{HEADER}a.czi,{'ab' * 20},0,1\n", " line 2 has structure .* one part that is repeated 20 times"),
        (f'{HEADER}"a.czi\nb.czi",tom20,0,1\n', " line 2 has image .* it spans several lines: check the quotes"),
        (f"{HEADER}none/*.czi,tom20,0,1\n", r" line 2: none/\*.czi matches no image"),
        (f"{HEADER}a.czi,tom20,0,1\nb.czi,Tom20,0,1\n", " has the structures tom20 and Tom20; write the name in one"),
        (
            f"{HEADER}a.czi,tom20,0,1\n\n./a.czi,tom20,0,2\n",
            " lists .*a.czi structure tom20 twice, in lines 2 and 4; keep one of the rows",
        ),
        (
            f"{HEADER}a.czi,tom20,0,1\na.czi,zo1,3,2\n",
            r" gives .*a.czi two values of signal, 0 \(line 2\) and 3 \(line 3\); correct one of them",
        ),
        (
            "image,structure,signal,target,voxel_size_z_um\na.czi,tom20,0,1,0.3\na.czi,zo1,0,2,\n",
            r" gives .*a.czi two values of voxel_size_z_um, 0.3 \(line 2\) and nothing \(line 3\)",
        ),
        (
            "image,structure,signal,target,scene\na.czi,tom20,0,1,\na.czi,tom20,0,1,A1\n",
            " gives a scene in some rows of .*a.czi only; give it in all or in none",
        ),
        (
            "image,structure,signal,target,time\na.czi,tom20,0,1,first\n",
            " line 2 has time 'first' for a.czi; write a whole number from 0 up, or z if the time points are",
        ),
        (
            "image,structure,signal,target,split\na.czi,tom20,0,1,training set\n",
            " line 2 has split 'training set' for a.czi; write train, val or test",
        ),
        (
            "image,structure,signal,target,group\na.czi,tom20,0,1,p\nb.czi,tom20,0,1,\n",
            r" has no group in line 3 \(b.czi\), but in other lines; give it in all rows or in none",
        ),
        (
            "image,structure,signal,target,voxel_size_x_um\na.czi,tom20,0,1,0\n",
            " line 2 has voxel_size_x_um '0' for a.czi; write a number of um above 0",
        ),
    ],
)
def test_a_wrong_table_is_refused_in_a_sentence(write, text, sentence):
    with pytest.raises(InputError, match=f"samples.csv{sentence}"):
        read_samples(write(text))


@settings(deadline=None)
@given(st.lists(st.lists(st.text(st.sampled_from("a.czi/\\~[]?:0-1, é")), min_size=6, max_size=6), min_size=1))
def test_any_cells_are_samples_or_refused_in_a_sentence(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "samples.csv"
    header = "image,structure,signal,target,scene,time\n"
    path.write_text(header + "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    with suppress(InputError):
        read_samples(path)


@pytest.mark.parametrize("name", ["a" * 19, "ab" * 19, "a" * 20 + "b"])
def test_a_structure_may_repeat_a_part_less_often(write, name):
    assert read_samples(write(f"{HEADER}a.czi,{name},0,1\n")).structure.tolist() == [name]


def test_one_file_under_two_names_is_refused(write, tmp_path):
    (tmp_path / "link.czi").symlink_to("a.czi")
    path = write(f"{HEADER}a.czi,tom20,0,1\nlink.czi,zo1,0,2\n")
    with pytest.raises(InputError, match="names one file twice, as .*/a.czi and .*/link.czi"):
        read_samples(path)


def test_one_image_may_give_several_scenes_times_and_structures(write):
    text = "image,structure,signal,target,scene,time\n" + "".join(
        f"a.czi,{structure},{scene},{target},{scene},{time}\n"
        for structure, target in (("tom20", 7), ("zo1", 8))
        for scene in (0, 1)
        for time in (0, 1)
    )
    assert len(read_samples(write(text))) == 8


def test_a_column_that_may_be_meant_is_named_in_a_warning(write, caplog):
    with caplog.at_level(logging.WARNING):
        read_samples(write("image,structure,signal,target,groups,colour\na.czi,tom20,0,1,p,red\n"))
    (message,) = caplog.messages
    assert message.endswith("samples.csv: the column groups is not used; if it is meant, call it group")


def test_a_target_of_two_structures_is_named_in_a_warning(write, caplog):
    with caplog.at_level(logging.WARNING):
        read_samples(write(f"{HEADER}a.czi,tom20,0,1\na.czi,zo1,0,1\n"))
    (message,) = caplog.messages
    assert "line 3: " in message
    assert message.endswith("a.czi target 1 is the target of both tom20 and zo1")


def test_an_image_list_is_a_table_of_one_structure(write):
    path = write("path_czi,channel_signal,channel_target,note\ndata\\tom20\\x.czi,6,3,old\n")
    samples = read_samples(path, structure="tom20")
    assert samples.iloc[0].to_dict() == {
        "image": "data/tom20/x.czi",
        "signal": 6,
        "target": 3,
        "note": "old",
        "structure": "tom20",
        "scene": None,
        "time": None,
    }


def test_a_list_of_another_structure_is_refused(write):
    path = write(f"{HEADER}x.czi,zo1,0,1\n")
    with pytest.raises(InputError, match="line 2 has structure zo1, but this is the image list of tom20"):
        read_samples(path, structure="tom20")


def test_a_missing_column_of_a_list_has_its_older_name(write):
    with pytest.raises(InputError, match=r"has no column channel_target \(its columns: path_czi, channel_signal\)"):
        read_samples(write("path_czi,channel_signal\nx,0\n"), structure="tom20")


def test_odd_lists_are_read_as_the_good_one(shared_data):
    lists = shared_data / "odd/lists"
    good = read_samples(lists / "good.csv", structure="tom20")
    assert len(good) == 10
    odd = sorted({path.name for path in lists.glob("*.csv")} - {"good.csv", "same_channel.csv", "one_based.csv"})
    assert len(odd) >= 5
    for name in odd:
        assert read_samples(lists / name, structure="tom20").to_dict("list") == good.to_dict("list"), name
    assert read_samples(lists / "one_based.csv", structure="tom20").image.equals(good.image)
    with pytest.raises(InputError, match="line 2 gives .* the channel 1 as signal and as target"):
        read_samples(lists / "same_channel.csv", structure="tom20")
