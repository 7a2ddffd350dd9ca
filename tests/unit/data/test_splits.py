"""Splits against the published ones, and what must hold for any list and any table of samples."""

import hashlib
import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssp_model.collection.lists import read_list
from ssp_model.collection.samples import ALIASES, read_samples
from ssp_model.config.schema import DnaConfig, SplitConfig
from ssp_model.data.splits import (
    SPLITS,
    keep_apart,
    split_dna,
    split_images,
    split_samples,
    write_dna_splits,
    write_sample_splits,
    write_structure_splits,
)
from ssp_model.errors import InputError
from tests.helpers import GOLDEN

AS_PUBLISHED = SplitConfig(seed=42, train_fraction=0.75, fit_fraction=0.9)
DNA = DnaConfig(name="dna", quota={"train": 54, "val": 6, "test": 20})
PUBLISHED_FILES_SHA256 = "2f5126b2d26c93d47be26fe006c1d966cec8f88137a7ee73058134a92372c3ad"
"""Checksum of all split files of the Allen collection, in alphabetical order of tasks, as version 0.1.0 writes them."""


def image_list(name: str, count: int) -> pd.DataFrame:
    paths = [f"data/{name}/{i}.czi" for i in range(count)]
    return pd.DataFrame({"path_czi": paths, "channel_signal": 6, "channel_target": 3})


def test_published_splits(shared_data):
    golden = json.loads((GOLDEN / "allen_splits.json").read_text())
    manifests = shared_data / "allen/manifests"
    structures = sorted(set(golden) - {"dna"})
    splits = {name: split_images(read_list(manifests / f"{name}.csv"), AS_PUBLISHED) for name in structures}
    splits["dna"] = split_dna(splits, read_list(manifests / "dna.csv"), DNA, seed=42)

    named = {name: {split: rows.rename(columns=ALIASES) for split, rows in of.items()} for name, of in splits.items()}
    kept = keep_apart(named)
    assert all(kept[name][split].equals(named[name][split]) for name in named for split in SPLITS)
    paths = {name: {split: list(rows.path_czi) for split, rows in of.items()} for name, of in splits.items()}
    assert paths == golden
    assert [sum(len(of[split]) for of in paths.values()) for split in SPLITS] == [628, 70, 233]


def test_published_split_files_are_the_same_to_the_byte(shared_data, tmp_path):
    manifests = shared_data / "allen/manifests"
    lists = {path.stem: path for path in manifests.glob("*.csv") if path.stem != "dna"}
    outputs = {task: {split: tmp_path / f"{task}-{split}.csv" for split in SPLITS} for task in (*lists, "dna")}
    for name, path in lists.items():
        write_structure_splits(path, [], outputs[name], name, AS_PUBLISHED)
    write_dna_splits(lists, manifests / "dna.csv", [], outputs["dna"], config=DNA, split_config=AS_PUBLISHED)
    content = b"".join(outputs[task][split].read_bytes() for task in sorted(outputs) for split in SPLITS)
    assert hashlib.sha256(content).hexdigest() == PUBLISHED_FILES_SHA256


@given(st.integers(10, 200), st.integers(0, 2**32 - 1))
def test_every_image_is_in_exactly_one_split(count, seed):
    images = image_list("tom20", count)
    splits = split_images(images, SplitConfig(seed=seed, train_fraction=0.75, fit_fraction=0.9))
    assert sorted(path for rows in splits.values() for path in rows.path_czi) == sorted(images.path_czi)


def test_too_few_images():
    with pytest.raises(InputError, match="2 images leaves no val and no test image"):
        split_images(image_list("tom20", 2), AS_PUBLISHED)


def test_dna_quota_larger_than_candidates():
    splits = {name: split_images(image_list(name, 20), AS_PUBLISHED) for name in ("tom20", "zo1")}
    with pytest.raises(InputError, match=r"dna.quota.train is 54, but only 14 of the 28 train images"):
        split_dna(splits, image_list("zo1", 20), DNA, seed=42)


def test_too_few_dna_images_whose_channel_is_wrong_are_not_said_to_be_off_the_list():
    splits = {"tom20": split_images(image_list("tom20", 20), AS_PUBLISHED)}
    candidates = image_list("tom20", 20)
    quota = DnaConfig(name="dna", quota={"train": 1, "val": 1, "test": 2})
    with pytest.raises(InputError, match=r"only 0 of the 14 train images are .* of 14 in the list the channel can't"):
        split_dna(splits, candidates, quota, 42, set(candidates.path_czi))


@given(st.lists(st.sampled_from(SPLITS), min_size=6, max_size=20))
def test_an_image_of_two_lists_is_in_one_split(drawn):
    """That which holds it out most, whatever else it is drawn for."""
    images = pd.Series([f"{i}.czi" for i in range(len(drawn))])
    # each split of either structure also has an image of its own
    own = {split: pd.DataFrame({"image": [f"{split}.czi"]}) for split in SPLITS}
    first = {s: pd.concat([own[s], pd.DataFrame({"image": images[[it == s for it in drawn]]})]) for s in SPLITS}
    second = {s: own[s] for s in SPLITS} | {"val": pd.concat([own["val"], pd.DataFrame({"image": images})])}
    kept = keep_apart({"tom20": first, "zo1": second})
    place = {image: split for split in SPLITS for of in kept.values() for image in of[split].image}
    assert [place[image] for image in images] == ["test" if it == "test" else "val" for it in drawn]
    for split in SPLITS:
        assert {place[image] for of in kept.values() for image in of[split].image} == {split}


def test_a_split_without_images_is_no_split_that_others_hold_out():
    rows = {split: pd.DataFrame({"image": [f"{split}.czi"]}) for split in SPLITS}
    kept = keep_apart({"tom20": rows, "dna": rows | {"val": rows["val"].iloc[:0]}})
    assert kept["dna"]["val"].empty


def test_unusable_images_leave_all_others_where_they_were(tmp_path):
    names = ("tom20", "zo1")
    for name in names:
        image_list(name, 40).to_csv(tmp_path / f"{name}.csv", index=False)
    candidates = pd.concat([image_list(name, 40) for name in names])
    candidates.to_csv(tmp_path / "dna.csv", index=False)
    dna = DnaConfig(name="dna", quota={"train": 8, "val": 2, "test": 4})
    lists = {name: tmp_path / f"{name}.csv" for name in names}

    def split(left_out: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
        left_out.to_csv(tmp_path / "left_out.csv", index=False)
        outputs = {task: {part: tmp_path / f"{task}-{part}.csv" for part in SPLITS} for task in (*names, "dna")}
        for name in names:
            write_structure_splits(lists[name], [tmp_path / "left_out.csv"], outputs[name], name, AS_PUBLISHED)
        inputs = lists, tmp_path / "dna.csv", [tmp_path / "left_out.csv"]
        write_dna_splits(*inputs, outputs["dna"], config=dna, split_config=AS_PUBLISHED)
        return {task: {p: list(pd.read_csv(f).path_czi) for p, f in of.items()} for task, of in outputs.items()}

    before = split(pd.DataFrame(columns=["image", "task"]))
    bad_target, bad_dna = before["tom20"]["test"][0], before["dna"]["test"][0]
    after = split(pd.DataFrame({"image": [bad_target, bad_dna], "task": ["tom20", "dna"]}))
    assert after["tom20"]["test"] == before["tom20"]["test"][1:]
    assert after["zo1"] == before["zo1"]
    assert after["dna"]["train"] == before["dna"]["train"]
    assert after["dna"]["test"][:3] == before["dna"]["test"][1:]
    assert len(after["dna"]["test"]) == 4


STRUCTURES = ("lamp1", "tom20", "zo1")
SHARES = {"train": 0.675, "val": 0.075, "test": 0.25}
PLACE = ["image", "scene", "time", "structure"]


def sample_table(rows, **columns) -> pd.DataFrame:
    """A table of samples, as it is read, from (image, scene, time, structure)."""
    table = pd.DataFrame(rows, columns=PLACE).astype(object)
    return table.assign(signal=0, target=1, **columns)


@st.composite
def tables(draw):
    """Tables in which each structure has at least nine images of its own, and some images more structures."""
    rows = []
    for structure in STRUCTURES:
        rows += [(f"{structure}-{i:02d}.czi", None, None, structure) for i in range(draw(st.integers(9, 30)))]
    for image in range(draw(st.integers(0, 10))):
        chosen = draw(st.sets(st.sampled_from(STRUCTURES), min_size=2))
        rows += [(f"shared-{image}.czi", s, t, name) for name in sorted(chosen) for s in ("A1", 2) for t in (0, 1)]
    return sample_table(rows)


def with_groups(samples: pd.DataFrame, size: int) -> pd.DataFrame:
    """Groups of so many images each, of all structures."""
    number, _ = pd.factorize(samples.image)
    return samples.assign(group=[f"plate {i % (len(set(number)) // size)}" for i in number])


def keys(rows: pd.DataFrame) -> list[tuple]:
    return list(rows[PLACE].itertuples(index=False, name=None))


@settings(deadline=None)
@given(tables(), st.integers(0, 2**32 - 1), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_table_is_split_whole_without_shared_images_or_groups(samples, seed, group_size, random):
    if group_size:
        samples = with_groups(samples, group_size)
    config = AS_PUBLISHED.model_copy(update={"seed": seed})
    splits = split_samples(samples, config)

    assert sorted(map(str, keys(pd.concat(splits.values())))) == sorted(map(str, keys(samples)))
    for column in {"image", "group"} & set(samples):
        owners = [set(rows[column]) for rows in splits.values()]
        assert sum(map(len, owners)) == len(set.union(*owners))
    assert all(set(rows.structure) == set(STRUCTURES) for rows in splits.values())

    order = random.sample(range(len(samples)), len(samples))
    shuffled = split_samples(samples.iloc[order].assign(note="new"), config)
    assert all(keys(shuffled[split]) == keys(splits[split]) for split in SPLITS)


@settings(deadline=None)
@given(st.lists(st.integers(14, 200), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_each_structure_is_within_one_image_of_its_shares(counts, seed):
    samples = sample_table([(f"{s}-{i}.czi", None, None, f"s{s}") for s, n in enumerate(counts) for i in range(n)])
    splits = split_samples(samples, AS_PUBLISHED.model_copy(update={"seed": seed}))
    for structure, count in enumerate(counts):
        for split, share in SHARES.items():
            assert abs(sum(splits[split].structure == f"s{structure}") - share * count) < 1


@settings(deadline=None)
@given(st.lists(st.integers(1, 12), min_size=15, max_size=60), st.integers(0, 2**32 - 1))
def test_groups_of_all_sizes_are_within_one_group_of_the_shares(sizes, seed):
    rows = [(f"{g}-{i}.czi", None, None, "tom20") for g, size in enumerate(sizes) for i in range(size)]
    group = [image.split("-")[0] for image, *_ in rows]
    splits = split_samples(sample_table(rows, group=group), AS_PUBLISHED.model_copy(update={"seed": seed}))
    for split, share in SHARES.items():
        assert abs(len(splits[split]) - share * len(rows)) <= max(sizes)


def test_another_seed_draws_other_images():
    samples = sample_table([(f"{i}.czi", None, None, "tom20") for i in range(20)])
    first, second = (split_samples(samples, AS_PUBLISHED.model_copy(update={"seed": seed})) for seed in (0, 1))
    assert keys(first["test"]) != keys(second["test"])


def test_images_shared_by_all_structures_are_split_as_one():
    samples = sample_table([(f"{i:02d}.czi", None, None, name) for i in range(20) for name in STRUCTURES])
    splits = split_samples(samples, AS_PUBLISHED)
    assert [len(rows) for rows in splits.values()] == [14 * 3, 1 * 3, 5 * 3]


def test_three_images_are_one_for_each_split():
    splits = split_samples(sample_table([(f"{i}.czi", None, None, "tom20") for i in range(3)]), AS_PUBLISHED)
    assert [len(rows) for rows in splits.values()] == [1, 1, 1]


def test_scenes_of_an_image_are_sorted_by_number_then_name():
    scenes = ["B", 10, 9, "A"]
    rows = [(f"{i}.czi", scene, None, "tom20") for i in range(3) for scene in scenes]
    splits = split_samples(sample_table(rows), AS_PUBLISHED)
    assert splits["test"].scene.tolist() == [9, 10, "A", "B"]


def test_given_splits_are_kept():
    split = ["test", "train", "val", "train"]
    samples = sample_table([(f"{i}.czi", None, None, "tom20") for i in range(4)], split=split)
    splits = split_samples(samples, AS_PUBLISHED)
    assert {name: rows.image.tolist() for name, rows in splits.items()} == {
        "train": ["1.czi", "3.czi"],
        "val": ["2.czi"],
        "test": ["0.czi"],
    }


@pytest.mark.parametrize(
    ("images", "columns", "sentence"),
    [
        ("ab", {}, "tom20 has only 2 images, but needs one each for train, val, test at least; add more"),
        ("abcd", {"group": list("ppqq")}, "tom20 has only 2 groups that share no image, but needs one each"),
        ("abcd", {"group": list("pppp")}, "tom20 has only 1 group, but needs one each"),
        ("abc", {"split": ["train", "train", "val"]}, "no test image of tom20; give the split test to"),
        (
            "abcd",
            {"split": ["train", "val", "test", "test"], "group": list("pqqr")},
            "puts the group q into val and test; a model would be measured on what it has learnt from. Give all",
        ),
    ],
)
def test_a_table_that_can_not_be_split_is_refused(images, columns, sentence):
    samples = sample_table([(f"{image}.czi", None, None, "tom20") for image in images], **columns)
    with pytest.raises(InputError, match=sentence):
        split_samples(samples, AS_PUBLISHED)


def test_scenes_of_one_image_in_two_given_splits_are_refused():
    split = ["train", "val", "test", "train"]
    rows = [("a.czi", 0, None, "tom20"), ("b.czi", 0, None, "tom20"), ("a.czi", 1, None, "tom20")]
    samples = sample_table([*rows, ("c.czi", 0, None, "tom20")], split=split)
    with pytest.raises(InputError, match="puts the image a.czi into train and test"):
        split_samples(samples, AS_PUBLISHED)


def test_groups_that_share_an_image_stay_together():
    rows = [(f"{i}.czi", scene, None, "tom20") for i in range(12) for scene in (0, 1)]
    # the last scene of each third image is of the next image's group
    group = [f"plate {i + (scene == 1 and i % 3 == 0)}" for i in range(12) for scene in (0, 1)]
    splits = split_samples(sample_table(rows, group=group), AS_PUBLISHED)
    together = {f"{i}.czi": f"{i - i % 3 if i % 3 < 2 else i}" for i in range(12)}
    owners = [{together[image] for image in rows.image} for rows in splits.values()]
    assert sum(map(len, owners)) == len(set.union(*owners)) == 8


def test_structures_that_share_too_few_images_are_refused():
    pairs = {"a": "1234", "b": "125", "c": "135", "d": "145", "e": "235", "f": "245", "g": "345"}
    rows = [(f"{image}.czi", None, None, name) for name, images in pairs.items() for image in images]
    with pytest.raises(InputError, match="No draw gives each of a, b, c, .* because they share their images"):
        split_samples(sample_table(rows), AS_PUBLISHED)


@pytest.fixture
def own_table(tmp_path):
    """A table of 30 images: tom20 in all, in two scenes, zo1 in the first twenty's first scene."""
    rows = ["image,structure,signal,target,scene,note"]
    rows += [f"{i:02d}.czi,tom20,0,1,{scene},x" for i in range(30) for scene in (0, 1)]
    rows += [f"{i:02d}.czi,zo1,0,2,0,y" for i in range(20)]
    path = tmp_path / "samples.csv"
    path.write_text("\n".join(rows))
    return path


def outputs_of(folder, structures=("tom20", "zo1")):
    return {name: {split: folder / f"{name}-{split}.csv" for split in SPLITS} for name in structures}


def test_splits_of_an_own_table_are_written_for_each_structure(own_table, tmp_path):
    outputs = outputs_of(tmp_path)
    write_sample_splits(own_table, [], outputs, structures=["tom20", "zo1"], config=AS_PUBLISHED)
    drawn = split_samples(read_samples(own_table), AS_PUBLISHED)
    for name, of in outputs.items():
        for split, path in of.items():
            rows = drawn[split][drawn[split].structure == name]
            assert path.read_text() == rows.to_csv(index=False)

    alone = outputs_of(tmp_path / "alone", ["zo1"])
    write_sample_splits(own_table, [], alone, structures=["zo1"], config=AS_PUBLISHED)
    assert all(alone["zo1"][split].read_bytes() == outputs["zo1"][split].read_bytes() for split in SPLITS)


@pytest.mark.parametrize("columns", [["image"], ["path_czi"], ["image", "scene", "time"]])
def test_samples_left_out_of_an_own_table_leave_all_others_where_they_were(own_table, tmp_path, columns):
    before = split_samples(read_samples(own_table), AS_PUBLISHED)["test"]
    bad = before[before.structure == "tom20"].iloc[0]
    left_out = tmp_path / "left_out.csv"
    cell = {"image": bad.image, "path_czi": bad.image, "scene": bad.scene, "time": ""}
    pd.DataFrame([{"task": "tom20", **{column: cell[column] for column in columns}}]).to_csv(left_out, index=False)
    outputs = outputs_of(tmp_path)
    write_sample_splits(own_table, [left_out], outputs, structures=["tom20", "zo1"], config=AS_PUBLISHED)

    gone = (before.image == bad.image) & (before.structure == "tom20")
    gone &= (before.scene == bad.scene) | ("scene" not in columns)
    after = pd.concat([pd.read_csv(outputs[name]["test"]) for name in ("tom20", "zo1")])
    kept = before[~gone].sort_values("structure", kind="stable")
    assert list(zip(after.image, after.scene, after.structure, strict=True)) == list(
        zip(kept.image, kept.scene, kept.structure, strict=True)
    )


def test_a_table_without_a_wanted_structure_is_refused(own_table, tmp_path):
    with pytest.raises(InputError, match=r"samples.csv has no row of lamp1 \(its structures: tom20, zo1\); add rows"):
        write_sample_splits(own_table, [], {}, structures=["lamp1", "zo1"], config=AS_PUBLISHED)


def test_a_split_without_a_usable_sample_is_refused(own_table, tmp_path):
    left_out = tmp_path / "left_out.csv"
    read_samples(own_table).assign(task="zo1")[["task", "image"]].to_csv(left_out, index=False)
    with pytest.raises(InputError, match="None of the .* train samples of zo1 can be used; see its left_out.csv"):
        write_sample_splits(own_table, [left_out], outputs_of(tmp_path), structures=["zo1"], config=AS_PUBLISHED)
