"""Regions where a prediction is most wrong."""

import numpy as np
import pytest

from ssp_model.evaluation.panel import Pair
from ssp_model.evaluation.regions import NUM_KEPT, WorstRegions, box, peaks, read_regions

VOXEL_UM = (0.29, 0.29, 0.29)
SHAPE = (20, 90, 120)


def ball(place, radius=6):
    distances = sum((axis - at) ** 2 for axis, at in zip(np.indices(SHAPE), place, strict=True))
    return (distances <= radius**2).astype(np.float32)


TARGET = ball((10, 30, 30)) + ball((10, 60, 90))
SIGNAL = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def worst_of(tmp_path, **predictions):
    """Find the regions of images with the same target."""
    worst = WorstRegions()
    for image, prediction in predictions.items():
        worst.add(image, SIGNAL, Pair(prediction, TARGET, VOXEL_UM, "dna"))
    worst.write(tmp_path / "dna.h5")
    return read_regions(tmp_path / "dna.h5")


def test_what_is_invented_and_what_is_missed(tmp_path):
    """One ball is missed, one is found, and one more is invented, in a noisy prediction."""
    noise = 0.1 * np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    found = worst_of(tmp_path, a=ball((10, 30, 30)) + ball((10, 20, 80)) + noise)
    for kind, place in {"invented": (10, 20, 80), "missed": (10, 60, 90)}.items():
        first = found[kind][0]
        assert first.image == "a"
        assert np.abs(np.subtract(first.middle, place)).max() <= 2
        # twice as wide as the region, which is 25 voxels
        assert first.planes.shape == (3, 51, 51)
        assert np.array_equal(first.planes[1], TARGET[first.middle[0]][window(first.middle)])
        # the noise of the rest is far below
        assert all(region.error < 0.5 * first.error for region in found[kind][1:])


def window(middle):
    starts = [max(min(place - 25, size - 51), 0) for place, size in zip(middle[1:], SHAPE[1:], strict=True)]
    return tuple(slice(start, start + 51) for start in starts)


def test_the_worst_of_all_images_are_kept(tmp_path):
    strengths = np.linspace(0.5, 1, 6)
    found = worst_of(tmp_path, **{f"{s:.1f}": TARGET + s * ball((10, 20, 80)) for s in strengths})
    assert [region.image for region in found["invented"]] == ["1.0", "0.9", "0.8", "0.7"]
    errors = [region.error for region in found["invented"]]
    assert errors == sorted(errors, reverse=True)
    assert len(errors) == NUM_KEPT
    assert errors[-1] / errors[0] == pytest.approx(0.7, abs=0.01)
    assert found["missed"] == []


def test_a_perfect_prediction_and_a_constant_target_have_none(tmp_path):
    assert worst_of(tmp_path, a=TARGET) == {"invented": [], "missed": []}
    worst = WorstRegions()
    worst.add("a", SIGNAL, Pair(TARGET, np.zeros_like(TARGET), None, "dna"))
    worst.write(tmp_path / "none.h5")
    assert read_regions(tmp_path / "none.h5") == {"invented": [], "missed": []}


def test_regions_do_not_overlap():
    error = np.random.default_rng(0).random((9, 20, 20))
    places = [place for _, place in peaks(error, (3, 5, 5))]
    for number, one in enumerate(places):
        for other in places[:number]:
            assert (np.abs(np.subtract(one, other)) >= (3, 5, 5)).any()


def test_a_box_has_odd_sizes():
    assert box((2.5, 7.0, 7.0), VOXEL_UM) == (9, 25, 25)
    assert box((2.5, 7.0, 7.0), (5.0, 0.1, 0.1)) == (1, 69, 69)
