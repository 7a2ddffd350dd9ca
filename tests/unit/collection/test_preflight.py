"""All problems of a table of samples in one table, and what the job needs."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile

from ssp_model.collection import preflight as module
from ssp_model.collection.check_image import ERROR, WARNING, check_image
from ssp_model.collection.preflight import MEMORY_OF_A_PROCESS, Plan, preflight
from ssp_model.errors import InputError

SHAPE = (4, 20, 30)
BYTES = 4 * 4 * 20 * 30
"""Of a volume."""


def unchanged(image):
    return (1, 1, 1)


def in_thirds(samples):
    """A split by turns; each structure needs three samples."""
    for structure, rows in samples.groupby("structure"):
        if len(rows) < 3:
            raise InputError(f"{structure} has only {len(rows)} images.")
    turn = samples.groupby("structure").cumcount() % 3
    return {split: samples[turn == number] for number, split in enumerate(("train", "val", "test"))}


@pytest.fixture
def plan(tmp_path):
    return Plan(unchanged, in_thirds, ("tom20", "zo1"), tmp_path / "results")


@pytest.fixture
def samples(tmp_path):
    """Three images of two structures."""
    rng = np.random.default_rng(0)
    rows = []
    for name in "abc":
        path = tmp_path / f"{name}.tif"
        voxels = rng.integers(100, 900, (3, *SHAPE), np.uint16)
        metadata = {"axes": "CZYX", "PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.3, "PhysicalSizeX": 0.3}
        tifffile.imwrite(path, voxels, ome=True, photometric="minisblack", metadata=metadata)
        for target, structure in enumerate(("tom20", "zo1"), start=1):
            cells = {"image": str(path), "structure": structure, "signal": 0, "target": target}
            rows.append({**cells, "scene": None, "time": None})
    return pd.DataFrame(rows)


def listed(found):
    return list(found.problems[["severity", "structure", "problem"]].itertuples(index=False, name=None))


def test_sound_samples(samples, plan):
    found = preflight(samples, plan, pixels=True)
    assert found.problems.empty
    assert list(found.problems) == ["severity", "image", "structure", "problem"]
    assert found.num_errors == 0
    assert found.counts.to_dict("list") == {
        "structure": ["tom20", "zo1"],
        "train": [1, 1],
        "val": [1, 1],
        "test": [1, 1],
    }


def test_several_processes_find_the_same(samples, plan):
    samples.loc[3, "target"] = 7
    Path(samples.image[4]).write_bytes(b"")
    alone, together = (preflight(samples, plan, num_workers=number, pixels=True) for number in (1, 2))
    assert alone.num_errors == 2
    pd.testing.assert_frame_equal(alone.problems, together.problems)


def check_or_die(image, rows, **settings):
    if Path(image).read_bytes() == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return check_image(image, rows, **settings)


def test_an_image_that_kills_its_process_is_named_and_the_others_are_checked(samples, plan, monkeypatch):
    Path(samples.image[2]).write_bytes(b"kill")
    # spawned processes import this module and find the function in it
    monkeypatch.setattr(module, "check_image", check_or_die)
    ((severity, _, text), *_) = listed(preflight(samples, plan, num_workers=2, pixels=True))
    assert severity == ERROR
    assert text.startswith(f"{samples.image[2]} could not be read: the process was killed, for lack of memory or by")


def test_an_image_too_large_for_the_memory_is_named(samples, plan, monkeypatch):
    def read(*arguments):
        raise MemoryError

    monkeypatch.setattr("ssp_model.collection.check_image.measure", read)
    assert f"{samples.image[0]} needs more memory than there is" in listed(preflight(samples, plan, pixels=True))[0][2]


def test_problems_of_all_images_are_found_errors_first(samples, plan):
    samples.loc[1, "target"] = 3
    Path(samples.image[2]).write_bytes(b"")
    samples.loc[4, "target"] = 0
    samples.loc[5, "structure"] = "golgi"
    found = preflight(samples, plan)
    assert [(row.severity, row.structure) for row in found.problems.itertuples()] == [
        (ERROR, "zo1"),
        (ERROR, "tom20, zo1"),
        (ERROR, "tom20"),
        (ERROR, "zo1"),
        (WARNING, "golgi"),
    ]
    assert found.num_errors == 4
    # zo1 has two samples left in the table
    assert found.problems.problem[3] == "zo1 has only 2 images."
    assert found.counts.empty


def test_a_structure_without_a_sample_is_an_error(samples, plan):
    found = preflight(samples[samples.structure == "tom20"], plan)
    ((severity, structure, text),) = listed(found)
    assert (severity, structure) == (ERROR, "zo1")
    assert "has no sample of zo1 (its structures: tom20)" in text


def test_images_of_other_structures_are_not_opened(samples, plan):
    Path(samples.image[0]).unlink()
    samples = samples[~((samples.image == samples.image[0]) & (samples.structure == "tom20"))]
    samples.loc[samples.image == samples.image[1], "structure"] = "golgi"
    found = preflight(samples, Plan(unchanged, lambda rows: {"train": rows}, ("tom20", "zo1"), plan.results))
    assert [severity for severity, _, _ in listed(found)] == [WARNING]


def test_one_image_under_two_names(samples, plan):
    first, second = samples.image[0], samples.image[2]
    Path(second).write_bytes(Path(first).read_bytes())
    ((severity, structure, text),) = listed(preflight(samples, plan))
    assert (severity, structure) == (ERROR, "tom20, zo1")
    assert text.startswith(f"{second} has the same content as {first}")


def test_bad_images_that_are_left_out_are_warnings(samples, plan):
    Path(samples.image[0]).write_bytes(b"")
    skipping = Plan(plan.factors, lambda rows: {"train": rows}, plan.structures, plan.results, skips_bad_images=True)
    found = preflight(samples, skipping)
    ((severity, _, text),) = listed(found)
    assert severity == WARNING
    assert text.endswith("not a microscope image. It is left out.")


def test_two_names_of_one_image_are_an_error_though_bad_images_are_left_out(samples, plan):
    Path(samples.image[2]).write_bytes(Path(samples.image[0]).read_bytes())
    skipping = Plan(plan.factors, plan.split, plan.structures, plan.results, skips_bad_images=True)
    ((severity, _, text),) = listed(preflight(samples, skipping))
    assert severity == ERROR
    assert text.endswith("use one name for both.")


def test_a_bad_scene_leaves_the_others_of_its_image(samples, plan, tmp_path):
    path = tmp_path / "scenes.ome.tif"
    voxels = np.random.default_rng(1).integers(100, 900, (2, *SHAPE), np.uint16)
    tifffile.imwrite(path, voxels, ome=True, photometric="minisblack", metadata={"axes": "CZYX"})
    rows = [
        {"image": str(path), "structure": "tom20", "signal": 0, "target": 1, "scene": s, "time": None} for s in (0, 1)
    ]
    skipping = Plan(plan.factors, lambda rows: {"train": rows}, ["tom20"], plan.results, skips_bad_images=True)
    found = preflight(pd.DataFrame(rows), skipping)
    assert any("has no scene 1" in text for _, _, text in listed(found))
    assert found.num_errors == 0


def test_a_split_of_bad_images_alone_is_an_error(samples, plan):
    Path(samples.image[0]).write_bytes(b"")
    skipping = Plan(plan.factors, plan.split, plan.structures, plan.results, skips_bad_images=True)
    errors = [text for severity, _, text in listed(preflight(samples, skipping)) if severity == ERROR]
    assert errors == [f"None of the 1 train samples of {name} can be used; add images." for name in ("tom20", "zo1")]


def test_why_the_table_as_a_whole_can_not_be_split(samples, plan):
    def refuse(rows):
        if rows.structure.nunique() > 1:
            raise InputError("No draw is possible.")
        return in_thirds(rows)

    found = preflight(samples, Plan(plan.factors, refuse, plan.structures, plan.results))
    assert listed(found) == [(ERROR, "", "No draw is possible.")]


def test_disk_and_memory_are_estimated(samples, plan):
    needed = preflight(samples, plan, num_workers=2).space.set_index("what").needed_bytes
    # the signal is in the volumes of both structures, but once in a dataset
    assert needed["volumes"] == 3 * 4 * BYTES
    assert needed["datasets"] == 3 * 3 * BYTES
    assert needed["disk in all, less what is there already"] == 3 * 7 * BYTES
    raw = BYTES // 2
    assert needed["memory to convert an image"] == MEMORY_OF_A_PROCESS + 4 * BYTES + raw + 2 * BYTES
    assert needed["memory to convert 2 images at once"] == 2 * needed["memory to convert an image"]


def test_what_is_there_already_needs_no_more_disk(samples, plan):
    (plan.results / "volumes").mkdir(parents=True)
    (plan.results / "volumes/tom20.h5").write_bytes(bytes(5 * BYTES))
    needed = preflight(samples, plan).space.set_index("what").needed_bytes
    assert needed["disk in all, less what is there already"] == 3 * 7 * BYTES - 5 * BYTES


def test_a_disk_that_is_too_small_is_an_error(samples, plan, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: SimpleNamespace(free=20 * BYTES))
    ((severity, _, text),) = listed(preflight(samples, plan))
    assert severity == ERROR
    assert "of disk for volumes and datasets, but" in text


@pytest.mark.parametrize(
    ("share", "severity", "words"),
    [
        (0.5, ERROR, "To convert the largest image takes 419 MB of memory, but 210 MB are free"),
        (1.5, WARNING, "To convert 2 images at once takes 839 MB of memory, but 629 MB are free"),
    ],
)
def test_memory_that_does_not_suffice(samples, plan, monkeypatch, share, severity, words):
    free = SimpleNamespace(available=int(share * MEMORY_OF_A_PROCESS))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    ((found, _, text),) = listed(preflight(samples, plan, num_workers=2))
    assert found == severity
    assert words in text


def test_the_tables_are_written(samples, plan, tmp_path):
    samples.loc[0, "target"] = 9
    found = preflight(samples, plan)
    found.write(tmp_path / "out")
    for name in ("problems", "counts", "space"):
        written = pd.read_csv(
            tmp_path / f"out/{name}.csv", dtype={"free_bytes": "Int64"}, keep_default_na=name == "space"
        )
        pd.testing.assert_frame_equal(written, getattr(found, name), check_dtype=False)
