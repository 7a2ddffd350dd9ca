"""Where predictions are written, and what is never overwritten."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssp_model.errors import InputError
from ssp_model.images.ome_output import OmeContent
from ssp_model.images.ome_tiff import write_ome_tiff
from ssp_model.images.ome_zarr import write_ome_zarr
from ssp_model.prediction.outputs import (
    Guard,
    differences,
    prepare_folder,
    publish,
    read_provenance,
    scene_parts,
    stems,
)

MADE_BY = {"image": "/data/a.czi", "version": "0.1", "flips": ""}
WRITERS = {"a.ome.tif": write_ome_tiff, "a.ome.zarr": write_ome_zarr}


def write(path: Path) -> Path:
    content = OmeContent((1, 1, 2, 4, 5), ["a"], provenance=MADE_BY)
    WRITERS[path.name](path, np.zeros((2, 4, 5), np.float32), content)
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_an_output_tells_how_it_was_made(tmp_path, name):
    path = write(tmp_path / name)
    assert read_provenance(path) == MADE_BY
    Guard([], Path("model")).check(path)
    assert differences(path, {**MADE_BY, "version": "0.2"}) == []
    assert differences(path, {**MADE_BY, "image": "/data/b.czi", "grid": "model"}) == ["image", "grid"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_finished_output_replaces_an_older_one(tmp_path, name):
    (tmp_path / "new").mkdir()
    older, newer = write(tmp_path / name), write(tmp_path / "new" / name)
    (tmp_path / "link").symlink_to(newer)
    publish(newer, older)
    assert read_provenance(older) == MADE_BY
    assert not newer.exists()


def test_nothing_is_written_onto_an_image_the_model_or_a_strangers_file(tmp_path):
    image, model, stranger = (tmp_path / name for name in ("a.czi", "m.safetensors", "b.ome.tif"))
    for path in (image, model, stranger):
        path.write_text("raw")
    link, hard = tmp_path / "link.ome.tif", tmp_path / "hard.ome.tif"
    link.symlink_to(image)
    os.link(model, hard)
    pipe = tmp_path / "pipe.ome.tif"
    os.mkfifo(pipe)
    for output, sentence in (
        (image, "which is an image to predict"),
        (link, "which is an image to predict"),
        (hard, "which is the model"),
        (stranger, "was not written by ssp predict"),
        (pipe, "was not written by ssp predict"),
    ):
        with pytest.raises(InputError, match=sentence):
            Guard([image], model).check(output)
    Guard([image], model).check(tmp_path / "free.ome.tif")


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("", "name of the output folder is empty"),
        ("/dev/null", "^/dev/null is not a folder"),
        ("a.czi", "^a.czi is not a folder"),
        ("p.ome.tif", "^p.ome.tif looks like a file's name"),
        ("p.png", "^p.png looks like a file's name"),
        ("a.czi/out", "^a.czi/out can't be made"),
        ("z.zarr", "^z.zarr is the folder of an image"),
    ],
)
def test_a_folder_that_is_none_is_refused(tmp_path, monkeypatch, folder, sentence):
    monkeypatch.chdir(tmp_path)
    Path("a.czi").touch()
    Path("z.zarr").mkdir()
    Path("z.zarr/zarr.json").touch()
    with pytest.raises(InputError, match=sentence):
        prepare_folder(folder, [Path("a.czi")])


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="can't be written to"):
        prepare_folder(tmp_path, [])


def test_images_of_one_name_take_the_names_of_their_folders(tmp_path):
    paths = [tmp_path / name for name in ("p1/a.czi", "p2/A.ome.tif", "p2/b.ome.zarr", "p2/x.y.czi")]
    names = stems(paths)
    assert [names[path] for path in paths] == ["p1_a", "p2_A", "b", "x.y"]


def test_images_that_differ_by_their_endings_only(tmp_path):
    with pytest.raises(InputError, match=r"a.czi and .*a.tif would have one name; predict them into two folders"):
        stems([tmp_path / "a.czi", tmp_path / "a.tif"])


@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", "A", "a_b"])] * 3), unique_by=lambda n: "/".join(n).casefold()))
def test_no_two_images_have_one_output(names):
    paths = [Path("/", *parts[:2], f"{parts[2]}.czi") for parts in names]
    try:
        found = stems(paths)
    except InputError:
        return
    assert len({name.casefold() for name in found.values()}) == len(paths)


def test_scenes_in_names():
    assert scene_parts(["only"]) == [""]
    assert scene_parts(["A1", "well B/2"]) == ["_A1", "_well-B-2"]
    assert scene_parts(["a", "A"]) == scene_parts(["", "b"]) == ["_0", "_1"]
