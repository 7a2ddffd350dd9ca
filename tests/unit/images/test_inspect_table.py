"""What is printed of files: it holds what a user must know, and fits."""

from io import StringIO

import numpy as np
import pytest
import tifffile
from rich.console import Console

from ssp_model.images.inspect import inspect_file, inspect_files
from ssp_model.images.inspect_table import common_folder, console, describe_files, file_remarks, short_names

VOXELS = np.random.default_rng(0).integers(100, 900, (2, 4, 40, 50), np.uint16)
"""(channel, Z, Y, X)"""
NAMES = {"Channel": {"Name": ["Light", "dna"]}}
SIZES = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}


def write(path, voxels=VOXELS, axes="CZYX", **metadata):
    tifffile.imwrite(path, voxels, ome=True, photometric="minisblack", metadata={"axes": axes, **metadata})
    return path


def shown(paths, *, pixels=False, width=100):
    out = Console(file=StringIO(), width=width)
    for part in describe_files(list(inspect_files(paths, pixels=pixels))):
        out.print(part)
    return out.file.getvalue()


def test_a_file_is_shown_with_axes_sizes_and_channels(tmp_path):
    lines = shown([write(tmp_path / "a.ome.tif", **NAMES, **SIZES)], width=200).splitlines()
    (row,) = (line for line in lines if "Light" in line)
    assert row.split()[-13:] == [*["1", "2", "4", "40", "50"], "uint16", "0.3", "0.1", "0.1", "0", "Light,", "1", "dna"]
    assert any("OME metadata" in line for line in lines)


def test_files_of_one_folder_are_shown_by_name_and_fit_the_width(tmp_path):
    paths = [write(tmp_path / f"{'long_name_' * 4}{i}.ome.tif", **SIZES) for i in range(2)]
    text = shown([*paths, tmp_path / "missing.tif"], pixels=True)
    assert text.splitlines()[0] == f"In {tmp_path}"[:100]
    assert text.count(str(tmp_path)) == 1
    assert max(map(len, text.splitlines())) <= 100
    assert "does not exist; check the path" in text


def test_intensities_are_shown_only_if_they_were_read(tmp_path):
    path = write(tmp_path / "a.ome.tif")
    assert "median" not in shown([path])
    (row,) = (line for line in shown([path], pixels=True, width=300).splitlines() if line.startswith("  0 "))
    assert row.split()[1:] == [
        str(VOXELS[0].min()),
        *(f"{value:.0f}" for value in np.percentile(VOXELS[0], (0.1, 50, 99.9), method="inverted_cdf")),
        str(VOXELS[0].max()),
        f"{VOXELS[0].mean():.4g}",
        "-",
        "-",
    ]


def test_scenes_are_named(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(VOXELS[0], metadata={"axes": "ZYX", "Name": "overview"}, photometric="minisblack")
        file.write(VOXELS[0, :2], metadata={"axes": "ZYX", "Name": "field"}, photometric="minisblack")
    text = shown([tmp_path / "a.ome.tif"], pixels=True, width=200)
    assert text.count("scene 0 overview") == text.count("scene 1 field") == 2


def remarks(path, *, pixels=True):
    return list(file_remarks(inspect_file(path, pixels=pixels)))


def test_a_sound_file_has_no_remark(tmp_path):
    assert remarks(write(tmp_path / "a.ome.tif", **SIZES)) == []


def test_sizes_that_are_not_plausible_are_a_remark(tmp_path):
    path = write(tmp_path / "a.ome.tif", PhysicalSizeX=500.0)
    assert remarks(path) == ["its OME metadata say 500 um along X: not plausible, so not used"]


def test_time_points_that_may_be_planes_are_a_remark(tmp_path):
    (text,) = remarks(write(tmp_path / "a.ome.tif", VOXELS[0], "TYX"))
    assert text == "4 time points of a single plane; if they are a z-stack, give z as time (--time z)"


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (lambda voxels: np.full_like(voxels, 7), "is constant: every voxel is 7"),
        (lambda voxels: np.full_like(voxels, np.nan), "holds no finite number"),
        (lambda voxels: np.where(np.arange(4)[:, None, None] == 2, 5, voxels), "has one value throughout 1 plane (2)"),
        (lambda voxels: np.float32(voxels > 800), "has only two values, as a mask has"),
        (lambda voxels: np.where(voxels == voxels.max(), np.inf, voxels), "voxels that are not finite numbers"),
    ],
)
def test_odd_intensities_are_a_remark(tmp_path, change, remark):
    voxels = VOXELS.astype(np.float32)
    voxels[1] = change(voxels[1])
    found = remarks(write(tmp_path / "a.ome.tif", voxels, **NAMES))
    assert any(text.startswith("channel 1 (dna) ") and remark in text for text in found)
    assert not any("channel 0" in text for text in found)


def test_the_folder_of_files():
    assert common_folder(["/data/a/x.tif", "/data/b/y.tif"]) == "/data"
    assert short_names(["/data/a/x.tif", "/data/b/y.tif"]) == {
        "/data/a/x.tif": "a/x.tif",
        "/data/b/y.tif": "b/y.tif",
    }
    assert common_folder(["/data/x.tif"]) == common_folder(["/a/x.tif", "/b/y.tif"]) == ""
    assert common_folder(["data/x.tif", "/data/y.tif"]) == common_folder(["x.tif", "y.tif"]) == ""


def test_what_is_no_terminal_gets_long_lines(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert console().width > 1000
