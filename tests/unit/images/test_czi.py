"""CZI: scenes, tiles and their gaps, planes that are missing."""

import numpy as np
import pytest
from pylibCZIrw import czi

from ssp_model.errors import InputError
from ssp_model.images.reader import open_file

VOXELS = np.random.default_rng(0).integers(1, 1000, (2, 3, 20, 24), np.uint16)
"""(channel, Z, Y, X)"""


def only_image(path):
    return open_file(path).image()


def write(path, planes, *, scale=True):
    """Write a CZI of (place, x, y, scene, (Y, X) voxels)."""
    with czi.create_czi(str(path)) as file:
        for place, x, y, scene, voxels in planes:
            file.write(voxels[..., None], plane=place, location=(x, y), scene=scene)
        sizes = (
            {f"scale_{axis}": um * 1e-6 for axis, um in zip("zyx", (0.29, 0.11, 0.11), strict=True)} if scale else {}
        )
        file.write_metadata("a", channel_names={0: "light", 1: "dna"}, **sizes)
    return path


def stack(voxels=VOXELS, x=0, y=0, scene=0):
    return [
        ({"C": c, "Z": z, "T": 0}, x, y, scene, voxels[c, z])
        for c in range(len(voxels))
        for z in range(voxels.shape[1])
    ]


def test_channels_and_sizes(tmp_path):
    image = only_image(write(tmp_path / "a.czi", stack()))
    assert image._file.format == "CZI"
    assert (image.channel_names, image.shape_zyx) == (["light", "dna"], (3, 20, 24))
    assert image.pixel_size_um == pytest.approx((0.29, 0.11, 0.11))
    for channel in range(2):
        np.testing.assert_array_equal(image.read(channel), VOXELS[channel])
    assert image.covered(0) is None


def test_without_sizes(tmp_path):
    assert only_image(write(tmp_path / "a.czi", stack(), scale=False)).pixel_size_um == (None, None, None)


def test_a_stack_that_starts_anywhere(tmp_path):
    np.testing.assert_array_equal(only_image(write(tmp_path / "a.czi", stack(x=-459, y=128))).read(1), VOXELS[1])


def test_a_scene_equals_it_alone(tmp_path):
    path = write(tmp_path / "a.czi", [*stack(), *stack(VOXELS[:, :, :10, :12] + 1, x=100, scene=1)])
    with open_file(path) as file:
        assert [scene.shape_zyx for scene in file.scenes] == [(3, 20, 24), (3, 10, 12)]
        np.testing.assert_array_equal(file.image(1).read(1), VOXELS[1, :, :10, :12] + 1)
        np.testing.assert_array_equal(file.image(0).read(1), VOXELS[1])


def test_a_plane_that_is_missing_is_refused(tmp_path):
    image = open_file(write(tmp_path / "a.czi", [*stack()[:4], stack()[5]])).image()
    np.testing.assert_array_equal(image.read(0), VOXELS[0])
    with pytest.raises(
        InputError, match=r"channel 1 \(dna\) is not whole: 1 of its 3 planes are missing \(the first is plane 1\)"
    ):
        image.read(1)


def test_a_gap_between_tiles_is_known(tmp_path):
    image = only_image(write(tmp_path / "a.czi", [*stack(), *stack(x=30)]))
    covered = image.covered(0)
    assert image.shape_zyx == (3, 20, 54)
    assert not covered[:, 24:30].any()
    assert covered[:, :24].all()
    assert covered[:, 30:].all()


def test_channels_that_lie_aside_stay_where_they_are(tmp_path):
    light, dna = stack()[:3], stack()[3:]
    aside = [(place, x + 8, y, scene, voxels) for place, x, y, scene, voxels in dna]
    image = only_image(write(tmp_path / "a.czi", [*light, *aside]))
    assert image.shape_zyx == (3, 20, 32)
    np.testing.assert_array_equal(image.read(0)[:, :, :24], VOXELS[0])
    np.testing.assert_array_equal(image.read(1)[:, :, 8:], VOXELS[1])
    assert not image.covered(1)[:, :8].any()


def test_colour_beside_grey(tmp_path):
    path = tmp_path / "a.czi"
    colours = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    with czi.create_czi(str(path)) as file:
        file.write(colours, plane={"C": 0, "Z": 0, "T": 0})
        file.write(VOXELS[1, 0][..., None], plane={"C": 1, "Z": 0, "T": 0})
        file.write_metadata("a")
    image = only_image(path)
    np.testing.assert_array_equal(image.read(1), VOXELS[1, :1])
    with pytest.raises(InputError, match=r"channel 0 is a colour image"):
        image.read(0)
    np.testing.assert_allclose(image.read("0:grey")[0], colours.mean(-1), rtol=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.8, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path, share):
    path = write(tmp_path / "a.czi", stack())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=rf"^{path} .*\.$"):
        only_image(path).read(1)
