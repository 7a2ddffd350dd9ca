"""Scores of several experiments on the same images."""

import numpy as np
import pandas as pd
import pytest

from ssp_model.errors import InputError
from ssp_model.evaluation.paired import PairedScores


def rows(experiment, seed, structure, mse, images=None):
    """Scores of images, as a table of scores has them."""
    images = images or [f"data/{structure}/{number}.czi" for number in range(len(mse))]
    run = {"experiment": experiment, "seed": seed, "structure": structure}
    return pd.DataFrame({**run, "image": images, "mse": mse, "r2": 1 - np.array(mse)})


def table(*parts):
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def two():
    """Two experiments with two seeds, one of which is better by a tenth in every image."""
    dna, zo1 = np.linspace(0.4, 0.6, 8), np.linspace(0.7, 0.9, 6)
    return table(
        *(
            rows(name, seed, structure, (of + 0.01 * seed) * factor)
            for name, factor in (("worse", 1.0), ("better", 0.9))
            for seed in (0, 1)
            for structure, of in (("dna", dna), ("zo1", zo1))
        )
    )


def test_means_are_over_images_and_seeds(two):
    scores = PairedScores(two, "mse")
    assert scores.structures == ["dna", "zo1"]
    assert scores.images == {"dna": 8, "zo1": 6}
    assert scores.seeds == {"worse": 2, "better": 2}
    assert scores.num_images() == 14
    of = two[two.experiment == "worse"].groupby("structure").mse.mean()
    assert scores.mean("worse", "dna").value == pytest.approx(of["dna"])
    # over images, not over structures, as published
    everything = scores.mean("worse")
    assert everything.value == pytest.approx((8 * of["dna"] + 6 * of["zo1"]) / 14)
    assert everything.low < everything.value < everything.high
    assert scores.spread("worse") == pytest.approx(np.std([0, 0.01], ddof=1))


def test_differences_and_gains(two):
    mse, r2 = PairedScores(two, "mse"), PairedScores(two, "r2")
    difference = mse.difference("better", "worse")
    assert difference.value == pytest.approx(mse.mean("better").value - mse.mean("worse").value)
    assert difference.low < difference.value < difference.high < 0
    assert difference.holds
    gain = mse.gain("better", "worse", "dna")
    assert gain.value == pytest.approx(10)
    assert gain.low < 10 < gain.high
    assert r2.gain("better", "worse").value > 0
    assert mse.gain("worse", "better").value < 0
    assert mse.marks(["better", "worse"]) == r2.marks(["better", "worse"]) == {"better": "best"}


def test_no_percentage_of_what_may_be_zero():
    scores = PairedScores(
        table(rows("a", 0, "dna", [0.5] * 6), rows("b", 0, "dna", [0.9, 1.1, 0.8, 1.2, 0.9, 1.05])), "r2"
    )
    assert np.isnan(scores.gain("a", "b")).all()
    assert scores.gain("b", "a").value == pytest.approx(100 * ((0.05 / 6) / 0.5 - 1))
    small = table(rows("a", 0, "dna", [0.97] * 6), rows("b", 0, "dna", [0.5] * 6))
    assert np.isnan(PairedScores(small, "r2").gain("b", "a")).all()
    assert PairedScores(small, "mse").gain("b", "a").value == pytest.approx(100 * (1 - 0.5 / 0.97))


def test_with_one_seed_there_are_intervals_but_no_spread(two):
    scores = PairedScores(two[two.seed == 0], "mse")
    assert np.isnan(scores.spread("worse"))
    # the better is so by the same factor in every image, so other images would change little
    assert scores.difference("better", "worse").holds
    assert scores.gain("better", "worse").low == pytest.approx(10)


def test_what_was_not_scored_is_not_known(two):
    part = two[(two.experiment == "worse") | (two.structure == "dna")]
    scores = PairedScores(part, "mse")
    assert not scores.has("better")
    assert not scores.has("nothing", "dna")
    for estimate in (
        scores.mean("better"),
        scores.mean("better", "zo1"),
        scores.difference("better", "worse"),
        scores.gain("worse", "better", "zo1"),
    ):
        assert np.isnan(estimate).all()
        assert not estimate.holds
    assert np.isnan(scores.spread("better", "zo1"))
    assert scores.marks(["better", "worse"]) == {}
    assert scores.marks(["better", "worse"], "dna") == {"better": "best"}


def test_images_are_matched_by_their_names(two):
    shuffled = two.sample(frac=1, random_state=0)
    difference = PairedScores(two, "mse").difference("better", "worse", "dna")
    assert tuple(PairedScores(shuffled, "mse").difference("better", "worse", "dna")) == pytest.approx(tuple(difference))


def test_an_image_may_give_several_samples():
    parts = [rows(name, 0, "dna", [0.1, 0.2, 0.3], ["a", "a", "b"]) for name in ("one", "other")]
    scores = PairedScores(table(*parts), "mse")
    assert scores.images == {"dna": 3}
    assert scores.mean("one").value == pytest.approx(0.2)


def test_other_images_are_refused():
    parts = rows("one", 0, "dna", [0.1, 0.2], ["a", "b"]), rows("other", 3, "dna", [0.1, 0.2], ["a", "c"])
    with pytest.raises(InputError, match="^other, seed 3, was not scored on the image b of dna, but one, seed 0, was"):
        PairedScores(table(*parts), "mse")


def test_a_seed_without_a_structure_is_refused(two):
    part = two[(two.experiment == "worse") | (two.structure == "dna") | (two.seed == 0)]
    with pytest.raises(InputError, match="^better has not the same seeds for all its structures"):
        PairedScores(part, "mse")


def test_images_of_a_group_are_drawn_together(two):
    """Eight images of four days say no more than four images: too few for an interval."""
    days = two.image.str.extract(r"(\d+)\.czi")[0].astype(int) // 2
    grouped = PairedScores(two.assign(group="day " + days.astype(str)), "mse")
    assert np.isnan(grouped.mean("better", "dna").low)
    assert grouped.mean("better", "dna").value == PairedScores(two, "mse").mean("better", "dna").value
    # seven days in all
    assert grouped.mean("better").low < grouped.mean("better").value
