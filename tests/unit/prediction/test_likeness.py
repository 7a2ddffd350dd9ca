"""Images compared with the training images of a model."""

import numpy as np
import pytest
from scipy import ndimage

from ssp_model.data.signal_statistics import VERSION
from ssp_model.errors import InputError
from ssp_model.prediction.likeness import DISTANCE, FEWEST, WARNING, Likeness, Reference
from tests.textures import standardised, texture, told_of

SIZES = (0.3, 0.1, 0.1)


def signals(num_images: int = 8, sizes=SIZES) -> dict:
    """What a model file tells of so many training images."""
    return told_of([texture(seed) for seed in range(num_images)], sizes)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(signals())


@pytest.mark.parametrize("seed", range(100, 106))
def test_an_image_like_the_training_images_gives_no_warning(reference, seed):
    found = reference.compare(texture(seed), SIZES)
    assert 0 < found.distance < 1
    assert (found.reasons, found.warning("a.czi")) == ((), "")


def noisy(volume):
    return standardised(volume + 0.5 * np.random.default_rng(9).standard_normal(volume.shape))


CHANGES = {
    "its contrast looks inverted: dark and bright are exchanged": lambda volume: -volume,
    "its planes seem to run the other way, from top to bottom": lambda volume: volume[::-1],
    "it has less fine detail in X": lambda volume: standardised(ndimage.gaussian_filter(volume, (0, 2, 2))),
    "it has less fine detail in X, Y and Z": lambda volume: ndimage.zoom(volume, 2),
    "it is noisier": noisy,
}


@pytest.mark.parametrize("reason", CHANGES)
def test_what_differs_is_named(reference, reason):
    found = reference.compare(CHANGES[reason](texture(100)), SIZES)
    assert found.distance > 1
    assert any(said.startswith(reason) for said in found.reasons), found


def test_fluorescence_is_named_alone():
    def field(seed):
        return standardised(ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((16, 48, 48)), 1))

    symmetric = Reference(told_of([field(seed) for seed in range(8)], SIZES))
    assert symmetric.compare(field(100), SIZES).reasons == ()
    stained = symmetric.compare(standardised(np.exp(2 * field(100))), SIZES)
    assert stained.reasons == ("it is bright on a dark ground, as fluorescence is",)


def test_other_voxel_sizes_are_named_first(reference):
    found = reference.compare(ndimage.zoom(texture(100), 2), (0.69, 0.1, 0.04))
    assert found.reasons[0] == "its voxels are 2.3 times coarser in Z and 2.5 times finer in X"
    assert len(found.reasons) > 1
    assert reference.compare(texture(100), (0.36, 0.1, 0.09)).reasons == ()
    assert reference.compare(texture(100), (0.38, None, None)).reasons == ("its voxels are 1.3 times coarser in Z",)
    assert reference.compare(texture(100), (0.6, 0.2, 0.2)).reasons == (
        "its voxels are 2.0 times coarser in Z, Y and X",
    )


def test_unknown_voxel_sizes_are_not_compared(reference):
    assert reference.compare(texture(100), (None,) * 3).reasons == ()
    without = Reference(signals(sizes=(None, None, 0.1)))
    assert without.compare(texture(100), (9.0, 9.0, 0.1)).reasons == ()
    assert without.compare(texture(100), (9.0, 9.0, 0.2)).reasons == ("its voxels are 2.0 times coarser in X",)


def test_few_training_images_tell_only_of_voxel_sizes():
    few = Reference(signals(FEWEST - 1))
    assert few.compare(-texture(100), SIZES) == Likeness(0.0, ())
    assert few.compare(texture(100), (0.6, 0.1, 0.1)).reasons == ("its voxels are 2.0 times coarser in Z",)


def test_the_fewer_training_images_the_wider_is_the_limit(reference):
    few = Reference(signals(FEWEST))
    assert 1 < few.compare(-texture(100), SIZES).distance < reference.compare(-texture(100), SIZES).distance / 1.5


def test_training_images_that_differ_allow_more():
    mixed = Reference(told_of([texture(seed) * (1 if seed % 2 else -1) for seed in range(8)], SIZES))
    assert mixed.compare(-texture(100), SIZES).reasons == ()


def test_a_small_image_may_be_further_from_the_mean(reference):
    found = [reference.compare(texture(seed, (16, 20, 20)), SIZES) for seed in range(100, 110)]
    assert [likeness.reasons for likeness in found] == [()] * 10
    assert reference.compare(-texture(100, (16, 20, 20)), SIZES).reasons != ()


def test_measures_that_a_training_image_lacks_are_left_out():
    values = signals()
    values["measures"][0] |= dict.fromkeys(values["measures"][0]) | {"contrast": values["measures"][0]["contrast"]}
    found = Reference(values).compare(-texture(100), SIZES)
    assert found.reasons == ()


def test_a_single_plane_is_compared_by_what_it_has(reference):
    found = reference.compare(texture(100)[:1], SIZES)
    assert np.isfinite(found.distance)


def test_the_warning_is_one_sentence_and_a_part_of_the_provenance():
    found = Likeness(2.345, ("its voxels are 2.3 times coarser in Z", "it is noisier"))
    sentence = (
        "a.czi is unlike the training images (distance 2.3, where 1 is the limit), so check its prediction before you "
        "use it: its voxels are 2.3 times coarser in Z; it is noisier."
    )
    assert found.warning("a.czi") == sentence
    assert found.provenance("a.czi") == {DISTANCE: "2.35", WARNING: sentence}
    assert Likeness(0.5, ()).provenance("a.czi") == {DISTANCE: "0.50"}


def test_models_that_tell_nothing_or_in_another_way_are_not_compared():
    assert Reference.of_model(None) is None
    assert Reference.of_model(signals(1) | {"version": VERSION + 1}) is None
    assert Reference.of_model(signals(1)).num_measured == 1


@pytest.mark.parametrize("damage", [{"measures": []}, {"measures": 3}, {"pixel_size_um": [1]}])
def test_damaged_statistics_are_told(damage):
    with pytest.raises(InputError, match=r"statistics of the training images in the model file are damaged"):
        Reference.of_model(signals(1) | damage)
