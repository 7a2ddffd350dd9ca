"""Whether a model can be used on an image, and why not."""

from io import StringIO
from itertools import product

import numpy as np
import pytest
import tifffile
from rich.console import Console

from ssp_model.errors import InputError
from ssp_model.models.model_file import read_info
from ssp_model.prediction.check import check_file, describe_checks
from ssp_model.prediction.sliding_window import Windows
from tests.helpers import OVERLAPPING

SIZES = {"PhysicalSizeZ": 0.6, "PhysicalSizeY": 0.3, "PhysicalSizeX": 0.15}


@pytest.fixture
def check(model, tmp_path):
    """Check a file with an image of some shape, (channel, Z, Y, X)."""
    info = read_info(model)

    def check_image(shape=(2, 20, 20, 40), channel=None, axes="CZYX", **metadata):
        metadata = metadata or SIZES
        path = tmp_path / "a.ome.tif"
        kind = "rgb" if axes.endswith("S") else "minisblack"
        tifffile.imwrite(
            path, np.ones(shape, np.uint8), ome=True, photometric=kind, metadata={"axes": axes, **metadata}
        )
        (found,) = check_file(path, info, OVERLAPPING, channel)
        return found

    return check_image


def test_an_image_that_can_be_used(check):
    found = check()
    assert (found.problems, found.warnings) == ((), ())
    assert found.channels == (0, 1)
    assert found.shape_zyx == (40, 20, 20)
    # windows of 16 voxels, half of them overlapping
    assert found.num_windows == len([*range(0, 24, 8), 24]) * 2 * 2


def test_windows_are_counted_as_they_are_predicted():
    windows = Windows((16, 32, 32), 0.5, "yx")
    padded = (40, 32, 100)
    assert windows.count((40, 20, 100)) == len(list(product(*windows.starts(padded)))) * 4


def test_a_channel_that_is_not_there(check):
    found = check(channel=2)
    assert found.channels == ()
    assert "has no channel 2; it has channel 0, channel 1" in found.problems[0]
    assert check(channel="1").channels == (1,)


def test_colours(check):
    found = check((5, 20, 40, 3), axes="ZYXS")
    assert found.channels == ()
    assert "is a colour image" in found.problems[0]
    assert check((5, 20, 40, 3), "0:grey", axes="ZYXS").channels == (0,)


def test_sizes_that_are_not_plausible(check):
    found = check(PhysicalSizeZ=0.6, PhysicalSizeY=264.0, PhysicalSizeX=264.0)
    assert (found.shape_zyx, found.num_windows) == (None, None)
    assert "has no usable pixel size along Y, X" in found.problems[0]


def test_an_image_that_vanishes(check):
    found = check((2, 20, 20, 1))
    assert "is too small" in found.problems[0]


def test_a_single_plane_is_doubtful(check):
    found = check((2, 1, 20, 40))
    assert found.problems == ()
    assert any("is a single plane" in text for text in found.warnings)
    assert any("fills less than half of a window along Z; the rest is mirrored" in text for text in found.warnings)


def test_a_stack_that_is_stored_as_time_points(check):
    found = check((9, 1, 20, 40), axes="TCYX")
    assert found.problems[0].endswith("give z as time; if not, give the number of one time point.")
    assert "time 0" not in found.name


def test_time_points_are_all_predicted(check):
    found = check((3, 20, 20, 40), axes="TZYX")
    assert (found.problems, found.warnings) == ((), ())


def test_what_prediction_would_warn_of_is_part_of_the_check(check, capsys):
    found = check(PhysicalSizeY=0.3, PhysicalSizeX=0.3)
    assert any("gives no pixel size along Z" in text for text in found.warnings)
    assert capsys.readouterr().err == ""


def test_a_file_that_can_not_be_read(model, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        check_file(tmp_path / "b.tif", read_info(model), OVERLAPPING)


def test_the_verdict_is_shown_with_its_reasons(check, tmp_path):
    path = str(tmp_path / "a.ome.tif")
    out = Console(file=StringIO(), width=200)
    for part in describe_checks({path: [check(channel=2)]}):
        out.print(part)
    text = out.file.getvalue()
    assert " no " in text
    assert "has no channel 2; it has channel 0, channel 1" in text
    assert "40  20  20" in text
