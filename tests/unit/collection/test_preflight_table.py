"""What is printed of a preflight."""

from io import StringIO

import pandas as pd
from rich.console import Console

from ssp_model.collection.check_image import ERROR, WARNING
from ssp_model.collection.preflight import Preflight
from ssp_model.collection.preflight_table import MOST_SHOWN, describe_preflight

COUNTS = pd.DataFrame({"structure": ["tom20"], "train": [1200], "val": [1], "test": [2]})
SPACE = pd.DataFrame({"what": ["volumes", "memory"], "needed_bytes": [2**30, 2**29], "free_bytes": [None, 2**31]})


def shown(*problems, counts=COUNTS):
    table = pd.DataFrame(problems, columns=["severity", "image", "structure", "problem"])
    out = Console(file=StringIO(), width=100)
    for part in describe_preflight(Preflight(table, counts, SPACE.astype({"free_bytes": "Int64"}))):
        out.print(part)
    return out.file.getvalue()


def test_a_sound_table():
    text = shown()
    assert "Problem" not in text
    assert "0 errors, 0 warnings. The samples can be used." in text
    assert [line.split() for line in text.splitlines() if line.startswith(("tom20", "volumes", "memory"))] == [
        ["tom20", "1,200", "1", "2"],
        ["volumes", "1.07", "GB"],
        ["memory", "537", "MB", "2.15", "GB"],
    ]


def test_problems_are_shown_without_the_folder_of_all_images():
    text = shown(
        (ERROR, "/data/a/x.tif", "tom20", "/data/a/x.tif has no channel 3."),
        (WARNING, "/data/b/y.tif", "zo1", "/data/b/y.tif has 2 scenes."),
        (WARNING, "", "", "Voxel sizes differ."),
    )
    lines = text.splitlines()
    assert "images are in /data" in lines[0]
    assert lines[2].split() == ["error", "tom20", *["a/x.tif", "has", "no", "channel", "3."]]
    assert lines[4].split() == ["warning", "-", *["Voxel", "sizes", "differ."]]
    assert "1 error, 2 warnings. Correct the errors before you start." in text


def test_a_problem_that_images_share_is_shown_once():
    text = shown(*[(ERROR, f"/data/{i}.tif", "tom20", f"/data/{i}.tif has no channel 3.") for i in range(3)])
    assert "0.tif has no channel 3. The same holds for 2 more images." in text
    assert "1.tif" not in text
    assert "3 errors, 0 warnings." in text


def test_many_problems_are_shown_in_part():
    text = shown(*[(WARNING, "a.tif", "tom20", f"number {i}.") for i in range(MOST_SHOWN + 5)])
    assert f"number {MOST_SHOWN - 1}." in text
    assert f"number {MOST_SHOWN}." not in text
    assert "... and 5 more, in problems.csv" in text


def test_samples_that_can_not_be_split_have_no_counts():
    assert "Samples" not in shown((ERROR, "", "", "No draw."), counts=pd.DataFrame(columns=["structure"])).splitlines()
