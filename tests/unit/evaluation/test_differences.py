"""The paired bootstrap over images and seeds."""

import numpy as np
import pytest

from ssp_model.evaluation import differences
from ssp_model.evaluation.differences import holds, interval_of, marks, pooled, resampled_means


def scores_of(num_seeds, num_images, mean, seed):
    rng = np.random.default_rng(seed)
    return mean + rng.normal(0, 0.05, (num_seeds, 1)) + rng.normal(0, 0.2, (num_seeds, num_images))


def test_it_is_the_bootstrap_that_draws_one_by_one():
    scores = {
        "a": {"dna": scores_of(3, 7, 0.5, 0), "zo1": scores_of(3, 4, 0.7, 1)},
        "b": {"dna": scores_of(2, 7, 0.4, 2), "zo1": scores_of(2, 4, 0.8, 3)},
    }
    images = {"dna": 7, "zo1": 4}
    rng = np.random.default_rng(0)
    brute = []
    for _ in range(20_000):
        drawn_images = {name: rng.integers(number, size=number - 1) for name, number in images.items()}
        means = {}
        for experiment, of in scores.items():
            num_seeds = len(of["dna"])
            seeds = rng.integers(num_seeds, size=num_seeds - 1)
            means[experiment] = {name: of[name][np.ix_(seeds, drawn_images[name])].mean() for name in images}
        total = {name: (7 * of["dna"] + 4 * of["zo1"]) / 11 for name, of in means.items()}
        brute.append([means["a"]["dna"], total["a"] - total["b"]])
    brute = np.array(brute)

    resampled = resampled_means(scores)

    one = resampled["a"]["dna"]
    difference = pooled(resampled["a"], images) - pooled(resampled["b"], images)
    for ours, theirs in zip((one, difference), brute.T, strict=True):
        assert ours.mean() == pytest.approx(theirs.mean(), abs=0.003)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
        assert np.percentile(ours, [2.5, 97.5]) == pytest.approx(np.percentile(theirs, [2.5, 97.5]), abs=0.012)


def test_the_spread_of_few_is_not_too_small():
    """The variance of a bootstrap mean is that of a mean: s^2 / k, also of two."""
    for number in (2, 3, 20):
        scores = np.random.default_rng(number).normal(size=(1, number))
        of_images = resampled_means({"a": {"dna": scores}})["a"]["dna"]
        assert of_images.var() == pytest.approx(scores.var(ddof=1) / number, rel=0.05)
        # seeds that are each the same for all images
        of_seeds = resampled_means({"a": {"dna": np.repeat(scores.T, 9, axis=1)}})["a"]["dna"]
        assert of_seeds.var() == pytest.approx(scores.var(ddof=1) / number, rel=0.05)


def test_images_are_the_same_for_all_and_seeds_are_not():
    hard = np.linspace(0, 1, 20)[None]
    resampled = resampled_means({"a": {"dna": hard}, "b": {"dna": hard + 0.01}})
    assert resampled["a"]["dna"].std() > 0.05
    assert resampled["b"]["dna"] - resampled["a"]["dna"] == pytest.approx(0.01)
    seeds = np.repeat([[0.0], [1.0], [2.0]], 20, axis=1)
    resampled = resampled_means({"a": {"dna": seeds}, "b": {"dna": seeds}})
    assert abs(np.corrcoef(resampled["a"]["dna"], resampled["b"]["dna"])[0, 1]) < 0.05


def test_a_seed_is_one_training_for_all_structures():
    seeds = np.repeat([[0.0], [1.0], [2.0]], 20, axis=1)
    resampled = resampled_means({"a": {"dna": seeds, "zo1": seeds}})["a"]
    assert resampled["dna"] == pytest.approx(resampled["zo1"])


def test_images_of_structures_are_drawn_apart():
    images = np.linspace(0, 1, 20)[None]
    resampled = resampled_means({"a": {"dna": images, "zo1": images}})["a"]
    assert abs(np.corrcoef(resampled["dna"], resampled["zo1"])[0, 1]) < 0.05


def test_one_more_experiment_changes_no_other():
    scores = {name: {"dna": scores_of(3, 8, 0.5, number)} for number, name in enumerate("abc")}
    alone = resampled_means({"b": scores["b"]})["b"]["dna"]
    assert resampled_means(scores)["b"]["dna"] == pytest.approx(alone)


def test_many_images_take_no_more_memory(monkeypatch):
    """Drawn in parts, the samples are those drawn at once."""
    scores = {"a": {"dna": scores_of(2, 50, 0.5, 0)}}
    at_once = resampled_means(scores)["a"]["dna"]
    monkeypatch.setattr(differences, "AT_ONCE", 50 * 7)
    assert resampled_means(scores)["a"]["dna"] == pytest.approx(at_once)


def test_with_too_few_images_nothing_is_known():
    with np.errstate(all="raise"):
        one_image = resampled_means({"a": {"dna": np.ones((3, 1)), "zo1": np.ones((3, 9))}})["a"]
    assert np.isnan(interval_of(one_image["dna"], 9)).all()
    assert np.isnan(interval_of(pooled(one_image, {"dna": 1, "zo1": 9}), 10)).all()
    assert np.isnan(interval_of(one_image["zo1"], 4)).all()
    assert interval_of(one_image["zo1"], 9) == pytest.approx((1, 1))
    assert not holds(np.nan, np.nan)


def marked(means, spread, *, images=20, higher_is_better=False):
    """Marks of experiments whose bootstrap means are apart by their means and vary by `spread`, each by itself."""
    rng = np.random.default_rng(0)
    draws = {name: mean + rng.normal(0, spread, 10_000) for name, mean in means.items()}
    return marks(means, draws, images, higher_is_better=higher_is_better)


def test_marks_only_what_holds():
    means = {"a": 0.5, "b": 0.3, "c": 0.4}
    assert marked(means, 0.01) == {"b": "best", "c": "second"}
    assert marked(means, 0.01, higher_is_better=True) == {"a": "best", "c": "second"}
    assert marked(means, 0.1) == {}
    assert marked({"a": 0.5, "b": 0.3, "c": 0.49}, 0.03) == {"b": "best"}
    # who is second is not known if who is first is not
    assert marked({"a": 0.9, "b": 0.3, "c": 0.31}, 0.03) == {}
    assert marked(means, 0.01, images=4) == {}
    assert marked({"a": 0.5}, 0.01) == {}
    assert marked({}, 0.01) == {}


def test_equals_have_no_mark():
    assert marked({"a": 0.5, "b": 0.5}, 0.0) == {}
    scores = scores_of(3, 20, 0.5, 0)
    resampled = {name: of["dna"] for name, of in resampled_means({"a": {"dna": scores}, "b": {"dna": scores}}).items()}
    assert marks({"a": 0.5, "b": 0.5}, resampled, 20, higher_is_better=True) == {}


def test_rounding_is_no_difference():
    scores = scores_of(1, 13, 0.5, 0)
    resampled = {name: of["dna"] for name, of in resampled_means({n: {"dna": scores} for n in "abcdefg"}).items()}
    assert all(not holds(*interval_of(resampled["a"] - other, 13)) for other in resampled.values())
    assert not holds(1e-17, 1e-17)
    assert not holds(-1e-17, -1e-17)
    assert holds(-0.2, -0.1)
    assert holds(0.1, 0.2)


def test_two_equal_methods_are_seldom_marked():
    """About 5% of differences that are chance hold by chance."""
    found = 0
    for trial in range(200):
        pair = {name: scores_of(8, 30, 0.5, 2 * trial + number) for number, name in enumerate("ab")}
        resampled = resampled_means({f"{name}{trial}": {"dna": of} for name, of in pair.items()})
        one, other = (of["dna"] for of in resampled.values())
        found += holds(*interval_of(one - other, 30))
    assert found <= 24


def test_images_of_a_group_are_drawn_together():
    """A difference that each plate has by itself is as uncertain as the number of plates says."""
    plates = np.random.default_rng(0).normal(size=8)
    images = np.repeat(plates, 20)[None]
    alone = resampled_means({"a": {"dna": images}})["a"]["dna"].std()
    grouped = resampled_means({"a": {"dna": images}}, {"dna": np.repeat(np.arange(8), 20)})["a"]["dna"].std()
    assert grouped == pytest.approx(plates.std(ddof=1) / np.sqrt(8), rel=0.1)
    assert grouped / alone > 4
    one_plate = resampled_means({"a": {"dna": images}}, {"dna": np.zeros(160, int)})["a"]["dna"]
    assert np.isnan(one_plate).all()
