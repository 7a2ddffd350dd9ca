"""A lab's own images, from files in several formats to scores, without an archive."""

import os
import re
import shutil
from pathlib import Path

import h5py
import pandas as pd
import pytest

from tests.e2e.own_images import CONFIG, STRUCTURES, make_own_images, voxels, write_tiff
from tests.helpers import snakemake

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    make_own_images(folder / "images")
    return folder


@pytest.fixture(scope="module")
def finished_own(own) -> Path:
    ran = snakemake(own, CONFIG)
    assert ran.returncode == 0, ran.said
    return own / "results"


def test_three_structures_are_scored(finished_own):
    scores = pd.read_csv(finished_own / "evaluation/own/seed-0/per_structure.csv")
    assert scores.structure.tolist() == list(STRUCTURES)
    assert scores.mse.notna().all()


def test_no_group_is_in_two_splits(finished_own):
    of_group = {}
    for path in finished_own.glob("splits/*/*.csv"):
        for group in pd.read_csv(path).group:
            assert of_group.setdefault(group, path.stem) == path.stem
    assert len(of_group) == 6


def test_scenes_and_time_points_are_those_of_the_table(finished_own):
    found = {}
    for path in finished_own.glob("volumes/*.h5"):
        with h5py.File(path) as file:
            for group in file.values():
                assert group.attrs["voxel_size_um"] == pytest.approx((0.3, 0.22, 0.22))
                found[Path(group.attrs["image"]).name] = group["signal"].attrs["mean"]
    assert len(found) == 18
    for name, mean in found.items():
        plate, number = int(name[5]), int(name[7])
        image = voxels(10 * plate + number)
        # of the CZI a scene, of the TIFF the second time point
        part = image[{0: plate % 2, 1: 1, 2: 0}[number]]
        assert mean == pytest.approx(part[0].mean()), name


def test_nothing_is_done_twice(finished_own, own):
    assert "Nothing to be done" in snakemake(own, CONFIG, "-n").said
    (own / "images/samples.csv").touch()
    planned = snakemake(own, CONFIG, "-n").said
    assert "train_model" not in planned


def test_a_changed_setting_or_image_converts_again_in_the_run_that_checks_it(tmp_path):
    make_own_images(tmp_path / "images")
    config = CONFIG | {"structures": ["dots"]}
    assert snakemake(tmp_path, config, "convert").returncode == 0
    config |= {"preprocess": CONFIG["preprocess"] | {"voxel_size_um": [0.3, 0.25, 0.25]}}
    write_tiff(tmp_path / "images/plate0_1.ome.tif", voxels(99))
    ran = snakemake(tmp_path, config, "convert")
    assert ran.returncode == 0, ran.said
    with h5py.File(tmp_path / "results/volumes/dots.h5") as file:
        image = next(group for group in file.values() if "plate0_1" in group.attrs["image"])
        assert image.attrs["voxel_size_um"] == pytest.approx((0.3, 0.25, 0.25))
        assert image["signal"].attrs["mean"] == pytest.approx(voxels(99)[1, 0].mean())


def test_the_log_and_the_data_page_name_the_channels(finished_own):
    log = (finished_own / "logs/convert_images/dots.log").read_text()
    assert re.search(
        r"images, such as \S+\.(czi|tif)( scene \d)?: signal is channel 0 \(light\), dots is channel 1 \(dots\), ", log
    )
    table = pd.read_html(finished_own / "report/data.html")[1].set_index("structure")
    for number, name in enumerate(("dots", "golgi", "nuclei"), start=1):
        row = table.loc[[name]].iloc[0]
        assert (row.signal, row.target) == ("0 light", f"{number} {name}")
        assert "/images/plate" in row["such as"]


def test_the_report_says_where_the_images_come_from(finished_own, own):
    ran = snakemake(own, CONFIG, "--report", "report.html")
    assert ran.returncode == 0, ran.said
    assert "images/samples.csv" in (finished_own / "report/overview.html").read_text()
    assert "several structures" in (own / "report.html").read_text()


def test_all_problems_are_told_before_anything_is_converted(own, tmp_path):
    shutil.copytree(own / "images", tmp_path / "images")
    (tmp_path / "images/plate0_0.czi").unlink()
    cut_off = tmp_path / "images/plate1_1.ome.tif"
    cut_off.write_bytes(cut_off.read_bytes()[:9000])
    ran = snakemake(tmp_path, CONFIG)
    assert ran.returncode == 1
    assert "plate0_0.czi does not exist" in ran.said
    assert "plate1_1.ome.tif" in ran.said
    assert "Traceback" not in ran.said
    assert not (tmp_path / "results/volumes").exists()
    problems = pd.read_csv(tmp_path / "results/preflight/problems.csv")
    assert len(problems[problems.severity == "error"].image.unique()) == 2
    # mended files of any age are checked again by the command that is named
    for name in ("plate0_0.czi", "plate1_1.ome.tif"):
        shutil.copy(own / "images" / name, tmp_path / "images" / name)
        os.utime(tmp_path / "images" / name, (1e9, 1e9))
    (again,) = set(re.findall(r"give the same command again with (--forcerun \w+),", ran.said))
    ran = snakemake(tmp_path, CONFIG, "split", *again.split())
    assert ran.returncode == 0, ran.said
