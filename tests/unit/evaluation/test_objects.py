"""Objects: what a segmentation of the prediction has in common with one of the target."""

import numpy as np
import pytest

from ssp_model.config.schema import ScoringConfig
from ssp_model.evaluation.objects import (
    KIND_OF,
    Objects,
    filled,
    foreground,
    kind_of,
    matches,
    measure_objects,
    why_not,
)
from ssp_model.evaluation.panel import Pair

VOXEL_UM = (0.3, 0.3, 0.3)
OBJECTS = ("count_target", "count_prediction", "object_f1", "centre_distance_um")


def balls(*places, radius=5, shape=(24, 64, 64)):
    """Bright balls on a dark ground."""
    grid = np.indices(shape)
    image = np.zeros(shape, np.float32)
    for place in places:
        image[sum((axis - at) ** 2 for axis, at in zip(grid, place, strict=True)) <= radius**2] = 1
    return image


def measured(prediction, target, kind="filled", voxel_size_um=VOXEL_UM):
    scoring = ScoringConfig(panels=(), objects={"golgi": kind})
    return measure_objects(Pair(prediction, target, voxel_size_um, "golgi"), scoring).numbers


TWO = balls((12, 16, 16), (12, 44, 44))


@pytest.mark.parametrize("kind", ["filled", "shells", "spots"])
def test_a_perfect_prediction(kind):
    """Also one with less contrast."""
    numbers = measured(0.3 * TWO + 0.1, TWO, kind)
    assert numbers == pytest.approx(
        {
            "dice": 1.0,
            "volume_error": 0.0,
            "count_target": 2.0,
            "count_prediction": 2.0,
            "object_f1": 1.0,
            "centre_distance_um": 0.0,
        }
    )


def test_a_missed_and_an_invented_object():
    numbers = measured(balls((12, 16, 16), (12, 16, 48)), TWO)
    assert (numbers["count_target"], numbers["count_prediction"]) == (2, 2)
    assert numbers["object_f1"] == pytest.approx(0.5)
    assert numbers["dice"] == pytest.approx(0.5, abs=0.01)
    assert numbers["volume_error"] == pytest.approx(0, abs=0.01)


def test_a_shifted_object():
    numbers = measured(balls((12, 16, 17)), balls((12, 16, 16)), voxel_size_um=(0.6, 0.3, 0.3))
    assert numbers["centre_distance_um"] == pytest.approx(0.3)
    assert numbers["object_f1"] == 1
    # half of each is elsewhere: no match
    assert measured(balls((12, 16, 21)), balls((12, 16, 16)))["object_f1"] == 0


def test_a_larger_prediction():
    numbers = measured(balls((12, 32, 32), radius=7), balls((12, 32, 32), radius=5))
    assert numbers["volume_error"] == pytest.approx((7 / 5) ** 3 - 1, rel=0.2)


def test_filaments_have_no_objects():
    numbers = measured(TWO, TWO, "filaments")
    assert numbers["dice"] == 1
    assert all(np.isnan(numbers[name]) for name in OBJECTS)


def test_shells_are_filled_in_each_plane():
    """The envelope of a nucleus is open above and below the stack."""
    shell = balls((12, 32, 32), radius=20) - balls((12, 32, 32), radius=17)
    mask = foreground(shell[6:18], "shells", VOXEL_UM)
    assert mask[6, 32, 32]
    assert not mask[:, 0, 0].any()


def test_what_is_open_to_the_border_is_not_filled():
    mask = np.zeros((1, 6, 6), bool)
    mask[0, 1:, 1] = mask[0, 1:, 4] = mask[0, 1, 1:5] = True
    assert not filled(mask)[0, 3, 2]
    mask[0, 4, 1:5] = True
    assert filled(mask)[0, 2, 2]


def test_debris_is_left_out():
    debris = balls((12, 16, 16), radius=8) + balls((4, 50, 50), radius=2)
    assert measured(debris, balls((12, 16, 16), radius=8))["count_prediction"] == 1


@pytest.mark.parametrize("shape", [(8, 16, 16), (1, 16, 16)])
def test_constant_images(shape):
    constant, other = np.zeros(shape, np.float32), balls((0, 8, 8), radius=4, shape=shape)
    assert all(np.isnan(v) for name, v in measured(constant, constant).items() if not name.startswith("count"))
    missed = measured(constant, other)
    assert (missed["dice"], missed["volume_error"], missed["object_f1"]) == (0, -1, 0)
    invented = measured(other, constant)
    assert invented["dice"] == 0
    assert np.isnan(invented["volume_error"])


def test_what_is_not_known_is_not_measured():
    scoring = ScoringConfig(panels=(), objects={"dna": "none"})
    assert kind_of("dna", scoring) == "none"
    for structure, size in (("dna", VOXEL_UM), ("golgi", VOXEL_UM), ("lamin_b1", None)):
        numbers = measure_objects(Pair(TWO, TWO, size, structure), scoring).numbers
        assert all(map(np.isnan, numbers.values()))
    assert why_not("golgi", scoring) == "not segmented: evaluate.objects does not say how"
    assert why_not("lamin_b1", scoring) == ""


def test_every_structure_of_the_collection_has_a_kind():
    assert len(KIND_OF) == 12


def test_an_object_is_in_one_pair_at_most():
    rng = np.random.default_rng(0)
    one, other = (Objects.of(rng.random((6, 12, 12)) > 0.7) for _ in range(2))
    pairs = matches(one, other)
    for column in pairs.T:
        assert len(set(column)) == len(column)
