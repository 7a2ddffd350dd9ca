"""What holds for output images of both formats."""

import math
import resource
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ssp_model.errors import InputError
from ssp_model.images import ome_zarr
from ssp_model.images.ome_output import IntensityMapping, OmeContent, default_colours, halve
from ssp_model.images.ome_tiff import write_ome_tiff
from ssp_model.images.ome_zarr import write_ome_zarr

WRITERS = {"a.ome.tif": write_ome_tiff, "a.ome.zarr": write_ome_zarr}
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    """Return a function that writes planes, and the path that it writes."""
    path = tmp_path / "out" / request.param
    return lambda planes, content: WRITERS[request.param](path, planes, content), path


@pytest.fixture
def small_files():
    """Let no file grow beyond 8 KiB, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**13, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def noise(shape) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@given(arrays(np.float32, st.integers(1, 20), elements=finite))
def test_a_mapped_intensity_comes_back_within_half_a_step(standardised):
    mapping = IntensityMapping.of_range(standardised.min(), standardised.max())
    stored = mapping.to_stored(standardised)
    back = mapping.to_standardised(stored)
    assert stored.dtype == np.uint16
    assert back.dtype == np.float32
    rounding = np.spacing(np.abs(standardised).max()).astype(float)
    assert np.abs(back.astype(float) - standardised.astype(float)).max() <= mapping.step / 2 * (1 + 1e-9) + rounding


def test_a_range_uses_all_stored_values():
    mapping = IntensityMapping.of_range(-2.0, 6.0)
    assert mapping.to_stored(np.array([-2.0, 6.0])).tolist() == [0, 65535]
    assert mapping.step == 8 / 65535


def test_intensities_outside_the_range_are_clipped():
    mapping = IntensityMapping.of_range(-1.0, 1.0)
    assert mapping.to_stored(np.array([-50.0, 50.0])).tolist() == [0, 65535]


@given(st.integers(1, 9), st.integers(1, 9))
def test_a_halved_plane_is_the_mean_of_the_pixels_that_there_are(height, width):
    plane = noise((height, width))
    half = halve(plane)
    assert half.shape == (math.ceil(height / 2), math.ceil(width / 2))
    for y, x in np.ndindex(half.shape):
        assert half[y, x] == pytest.approx(plane[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(), abs=1e-6)


def test_a_halved_plane_keeps_its_type():
    assert halve(np.array([[65535, 65535], [65535, 65534]], np.uint16)).tolist() == [[65535]]
    assert halve(np.ones((4, 4), np.uint16)).dtype == np.uint16
    assert halve(np.ones((4, 4), np.float32)).dtype == np.float32


def test_transmitted_light_is_grey_and_the_other_colours_return():
    colours = default_colours(["transmitted light", *map(str, range(8))])
    assert colours[0] == "FFFFFF"
    assert len(set(colours[:8])) == 8
    assert colours[8] == colours[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"channel_names": ["a"]},
        {"mappings": [IntensityMapping(0, 1)]},
        {"colours": ["FFFFFF"]},
        {"contrast_limits": [(0, 1)]},
        {"voxel_size_um": (0.1, 0.1)},
        {"voxel_size_um": (0.1, 0.1, 0.0)},
        {"voxel_size_um": (0.1, 0.1, float("nan"))},
        {"time_step_s": -1.0},
        {"shape": (1, 2, 0, 8, 8)},
    ],
    ids=str,
)
def test_content_that_does_not_fit_together_is_refused(wrong):
    with pytest.raises(ValueError, match="channels|should be"):
        OmeContent(**{"shape": (1, 2, 3, 8, 8), "channel_names": ["a", "b"], **wrong})


@pytest.mark.parametrize("num_planes", [0, 5, 7])
def test_a_wrong_number_of_planes_leaves_no_file(written, num_planes):
    write, path = written
    with pytest.raises(ValueError, match="planes"):
        write(noise((num_planes, 8, 8)), OmeContent((1, 2, 3, 8, 8), ["a", "b"]))
    assert list(path.parent.iterdir()) == []


def test_a_plane_of_another_shape_leaves_no_file(written):
    write, path = written
    with pytest.raises(ValueError, match="shape"):
        write([noise((8, 8)), noise((8, 9))], OmeContent((1, 1, 2, 8, 8), ["a"]))
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(written, value):
    write, path = written
    planes = noise((2, 8, 8))
    planes[1, 3, 3] = value
    with pytest.raises(InputError, match="Channel 'b' has values that are not finite"):
        write(planes, OmeContent((1, 2, 1, 8, 8), ["a", "b"]))
    assert list(path.parent.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing(written, small_files):
    write, path = written
    with pytest.raises(InputError, match=rf"{path.name} can't be written, because the disk of .*out is full"):
        write(noise((4, 128, 128)), OmeContent((1, 1, 4, 128, 128), ["a"]))
    assert list(path.parent.iterdir()) == []


def test_an_error_of_the_planes_is_not_told_as_a_full_disk(written):
    def planes():
        yield noise((8, 8))
        raise FileNotFoundError("volumes.h5")

    write, path = written
    with pytest.raises(FileNotFoundError, match="volumes.h5"):
        write(planes(), OmeContent((1, 1, 2, 8, 8), ["a"]))
    assert list(path.parent.iterdir()) == []


def test_memory_does_not_grow_with_the_number_of_planes(written, monkeypatch):
    monkeypatch.setattr(ome_zarr, "SHARD_BYTES", 2**19)
    plane = noise((256, 256))

    def peak(num_t, num_c, num_z) -> int:
        content = OmeContent((num_t, num_c, num_z, 256, 256), list("abcd"[:num_c]))
        tracemalloc.start()
        write((plane for _ in range(content.num_planes)), content)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    write, _ = written
    peak(1, 1, 4)  # imports
    assert peak(3, 4, 16) < peak(1, 1, 4) + 4 * plane.nbytes
