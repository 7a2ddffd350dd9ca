"""Layers of napari as images; without Qt."""

import numpy as np
import pytest

from ssp_model.errors import InputError
from ssp_model.napari_plugin.layer import (
    Axes,
    LayerSource,
    known_axes,
    possible_axes,
    refuse_unusable,
    stored_together,
)

layers = pytest.importorskip("napari.layers", reason="napari is not installed")

VOXELS = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.uint16).reshape(2, 3, 4, 5, 6)
TCZ, ZC = Axes(("time", "channel", "z")), Axes(("z", "channel"))


def layer_of(shape, **settings):
    return layers.Image(np.zeros(shape, np.uint8), name="cells", **settings)


def test_what_axes_may_be_and_what_they_hold():
    assert [axes.text((7, 5, 6)) for axes in possible_axes(3)] == ["7 planes", "7 time points, 1 plane",
                                                                   "7 channels, 1 plane"]  # fmt: skip
    assert len(possible_axes(4)) == len(possible_axes(5)) == 6
    assert possible_axes(5)[0] == TCZ
    assert [axes.text((5, 6)) for axes in possible_axes(2)] == ["1 plane"]


@pytest.mark.parametrize(
    ("shape", "labels", "kinds"),
    [
        ((4, 5, 6), None, ("z",)),
        ((4, 5, 6), ("T", "y", "x"), ("time",)),
        ((5, 6), None, ()),
        ((2, 4, 5, 6), None, None),
        ((2, 4, 5, 6), ("Channel", "z", "y", "x"), ("channel", "z")),
        ((2, 4, 5, 6), ("z", "z ", "y", "x"), None),
        ((7, 1, 5, 6), ("t", "?", "y", "x"), None),
        ((1, 4, 5, 6), None, ("time", "z")),
        ((4, 1, 1, 5, 6), None, ("z", "time", "channel")),
        ((1, 1, 5, 6), None, ("time", "z")),
    ],
)
def test_axes_are_known_by_their_labels_or_sizes(shape, labels, kinds):
    known = known_axes(layer_of(shape, axis_labels=labels))
    assert known == (None if kinds is None else Axes(kinds))


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (lambda: layer_of((4, 5, 6, 3), rgb=True), "holds colours, not intensities; right-click it, choose Split RGB"),
        (lambda: layer_of((1, 1, 1, 4, 5, 6)), "has 6 axes; wanted are Y and X, and before them any of time, channel"),
        (lambda: layer_of((4, 5, 6), axis_labels="xyz"), "has the axes x, y, z, but the last two should be y and x"),
        (lambda: layer_of((4, 5, 6), shear=(0, 0, 0.3)), "is sheared, so its voxels are no boxes; resample it first."),
    ],
)
def test_layers_that_can_not_be_used(layer, sentence):
    with pytest.raises(InputError, match=f"^Layer 'cells' {sentence}"):
        refuse_unusable(layer())


def test_a_time_point_of_a_layer_is_an_image():
    layer = layers.Image(VOXELS, name="cells", scale=(9, 1, 600, 0.3, 0.15), units=("s", "pixel", "nm", "um", "um"))
    image = LayerSource.of(layer, TCZ).image(1)
    assert (image.name, image.shape_zyx, len(image.channel_names)) == ("Layer 'cells', time 1", (4, 5, 6), 3)
    assert image.pixel_size_um == pytest.approx((0.6, 0.3, 0.15))
    np.testing.assert_array_equal(image.read(2), VOXELS[1, 2])
    of_z_first = layers.Image(VOXELS[0].transpose(1, 0, 2, 3), name="cells")
    np.testing.assert_array_equal(LayerSource.of(of_z_first, ZC).image(0).read(2), VOXELS[0, 2])
    np.testing.assert_array_equal(LayerSource.of(layers.Image(VOXELS[0, 0, 0]), Axes(())).image(0).read(0),
                                  VOXELS[0, 0, :1])  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "sizes", "doubt"),
    [
        ({"units": "um", "scale": (0.6, 0.3, 0.15)}, (0.6, 0.3, 0.15), ""),
        # turned, and scaled by another transform
        ({"units": "um", "rotate": (0, 0, 30), "affine": np.diag((0.6, 0.3, 0.15, 1))}, None, "is sheared"),
        ({"units": "um", "affine": np.diag((0.6, -0.3, 0.15, 1))}, (0.6, 0.3, 0.15), ""),
        ({}, (None, None, None), "No voxel size is known along Z, Y, X: it is resized there as the training images"),
        ({"scale": (2, 1, 1)}, (None, None, None), "Its scale 2, 1, 1 has no unit: type it if it is in um."),
        ({"scale": (2, 0.3, 0.3), "units": ("pixel", "um", "um")}, (None, 0.3, 0.3), "known along Z: it is"),
        ({"scale": (0.5, 300, 300), "units": "um"}, (0.5, None, None), "say 300 um along Y, 300 um along X, which no"),
    ],
)
def test_voxel_sizes(settings, sizes, doubt):
    layer = layer_of((4, 5, 6), **settings)
    if sizes is None:
        with pytest.raises(InputError, match=doubt):
            LayerSource.of(layer, Axes(("z",)))
        return
    source = LayerSource.of(layer, Axes(("z",)))
    assert source.pixel_size.um == sizes
    assert doubt in source.doubt
    assert bool(doubt) == bool(source.doubt)


def test_of_several_levels_the_largest_is_taken():
    layer = layers.Image([VOXELS[0, 0], VOXELS[0, 0, :, ::2, ::2]], name="cells", multiscale=True)
    source = LayerSource.of(layer, known_axes(layer))
    np.testing.assert_array_equal(source.image(0).read(0), VOXELS[0, 0])


@pytest.mark.parametrize(
    ("shape", "kinds", "wanted"),
    [
        ((4, 5, 6), ("z",), (4, 5, 6)),
        ((3, 4, 5, 6), ("channel", "z"), (4, 5, 6)),
        ((3, 4, 5, 6), ("time", "z"), (3, 4, 5, 6)),
        ((4, 3, 5, 6), ("z", "channel"), (4, 1, 5, 6)),
        ((2, 3, 4, 5, 6), ("time", "channel", "z"), (2, 1, 4, 5, 6)),
        ((3, 2, 4, 5, 6), ("channel", "time", "z"), (2, 4, 5, 6)),
        ((4, 2, 3, 5, 6), ("z", "time", "channel"), (4, 2, 1, 5, 6)),
        ((2, 5, 6), ("time",), (2, 5, 6)),
        ((5, 6), (), (5, 6)),
    ],
)
def test_predictions_have_their_place_and_lie_over_the_layer(shape, kinds, wanted):
    num_axes, axes = len(shape), Axes(kinds)
    affine = np.diag([*range(3, 3 + num_axes), 1])
    layer = layer_of(shape, scale=range(2, 2 + num_axes), translate=range(num_axes), affine=affine, units="um")
    source = LayerSource.of(layer, axes)
    volume = source.empty_prediction()
    for time in range(source.num_times):
        source.put(np.full(source.shape_zyx, time), time, volume)
    assert volume.shape == wanted
    assert sorted(set(volume.ravel())) == list(range(source.num_times))
    placed = layers.Image(volume, **source.placement)
    assert placed.units == layer.units[num_axes - len(wanted) :]
    corner, opposite = [0] * num_axes, [size - 1 for size in shape]
    for place in (corner, opposite):
        there = placed.world_to_data(np.array(layer.data_to_world(place))[num_axes - len(wanted) :])
        seen = [number for number, kept in enumerate(kinds[num_axes - len(wanted) :]) if kept != "channel"]
        seen += [len(wanted) - 2, len(wanted) - 1]
        np.testing.assert_allclose(np.array(there)[seen], np.array(place)[num_axes - len(wanted) :][seen], atol=1e-9)
        assert (np.round(there) >= 0).all()
        assert (np.round(there) < wanted).all()


@pytest.mark.parametrize(
    ("chunks", "number", "wanted"),
    [
        (None, 5, range(5, 6)),
        ((2, 4, 9, 9), 5, range(4, 8)),
        ((2, 4, 9, 9), 9, range(8, 10)),
        (((1, 1), (3, 4, 3), (9,), (9,)), 5, range(3, 7)),
        (((1, 1), (3, 4, 3), (9,), (9,)), 7, range(7, 10)),
        (((1, 1), (3, 4, 3), (9,), (9,)), 2, range(3)),
    ],
)
def test_planes_that_are_stored_together_are_read_once(chunks, number, wanted):
    class Stored:
        shape = (2, 10, 9, 9)

    Stored.chunks = chunks
    assert stored_together(Stored(), 1, number) == wanted


def test_a_lazy_layer_is_read_chunk_by_chunk_and_can_be_stopped():
    array = pytest.importorskip("dask.array")
    computed = []

    def compute(block_info):
        computed.append(block_info[None]["chunk-location"])
        return np.full(block_info[None]["chunk-shape"], sum(computed[-1]), np.uint16)

    lazy = array.map_blocks(compute, chunks=((1, 1), (2, 2), (5,), (6,)), dtype=np.uint16)
    source = LayerSource.of(layers.Image(lazy, name="lazy", contrast_limits=(0, 9)), Axes(("time", "z")))
    computed.clear()
    volume = source.image(1).read(0)
    assert computed == [(1, 0, 0, 0), (1, 1, 0, 0)]
    np.testing.assert_array_equal(volume[:, 0, 0], [1, 1, 2, 2])
    planes_read = []

    def stop():
        planes_read.append(1)
        if len(planes_read) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.image(0, check_stop=stop).read(0)
