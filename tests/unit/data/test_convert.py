"""Conversion of archives, good and bad."""

import io
import tarfile

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from ssp_model.data.convert import RawImages, convert_archive, image_jobs
from ssp_model.data.left_out import check_left_out
from ssp_model.data.preprocess import Resizing
from ssp_model.errors import InputError
from ssp_model.simulation.simulate import SimulationConfig, simulate_image, write_czi

SIMULATION = SimulationConfig(structures=("tom20",), images=3, shape_zyx=(8, 48, 40))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [simulate_image("tom20", index, SIMULATION) for index in range(SIMULATION.images)]


@pytest.fixture
def collection(tmp_path, images):
    """A structure's folder of images with its lists; `pack` makes the archive."""

    class Collection:
        folder = tmp_path / "tom20"
        archive = tmp_path / "tom20.tar.gz"
        image_list = tmp_path / "tom20.csv"
        dna_list = tmp_path / "dna.csv"
        volumes = tmp_path / "out/tom20.h5"
        left_out = tmp_path / "out/tom20.left_out.csv"

        def pack(self) -> None:
            with tarfile.open(self.archive, "w:gz") as tar:
                tar.add(self.folder, "tom20")

        def convert(self, workers: int = 1) -> None:
            raw = RawImages(self.archive, self.image_list, self.dna_list)
            tasks = {"structure": "tom20", "dna": "dna"}
            resizing = Resizing(scale=(1, 0.5, 0.5))
            convert_archive(raw, self.volumes, self.left_out, **tasks, resizing=resizing, workers=workers)

        def check(self, on_bad_image: str = "stop") -> None:
            check_left_out(self.left_out, "tom20", on_bad_image)

        def outputs(self) -> list[str]:
            return sorted(path.name for path in self.volumes.parent.glob("*"))

    collection = Collection()
    collection.folder.mkdir()
    rows = []
    for index, image in enumerate(images):
        write_czi(collection.folder / f"{index}.czi", image, "tom20", SIMULATION)
        rows.append({"path_czi": f"data/tom20/{index}.czi", "channel_signal": 6, "channel_target": 3})
    pd.DataFrame(rows).to_csv(collection.image_list, index=False)
    pd.DataFrame(rows[:2]).assign(channel_target=5).to_csv(collection.dna_list, index=False)
    collection.pack()
    return collection


def rewrite(collection, index: int, image: np.ndarray) -> None:
    path = collection.folder / f"{index}.czi"
    path.unlink()
    write_czi(path, image, "tom20", SIMULATION)
    collection.pack()


@pytest.mark.parametrize("workers", [1, 2])
def test_volumes_are_the_published_form_of_each_channel(collection, images, workers):
    collection.convert(workers=workers)
    with h5py.File(collection.volumes) as file:
        assert {name: sorted(group) for name, group in file.items()} == {
            "0000": ["dna", "signal", "tom20"],
            "0001": ["dna", "signal", "tom20"],
            "0002": ["signal", "tom20"],
        }
        for index, image in enumerate(images):
            group = file[f"{index:04d}"]
            assert group.attrs["path_czi"] == f"data/tom20/{index}.czi"
            np.testing.assert_allclose(group.attrs["voxel_size_um"], [0.29, 0.21666, 0.21666], rtol=1e-6)
            for role, channel in {"signal": 6, "tom20": 3, "dna": 5}.items():
                if role not in group:
                    continue
                raw = image[channel].astype(np.float64)
                wanted = ndimage.zoom((raw - raw.mean()) / raw.std(), (1, 0.5, 0.5), mode="nearest")
                np.testing.assert_allclose(group[role], wanted, atol=1e-5)
                assert group[role].attrs["mean"] == pytest.approx(raw.mean())
    assert pd.read_csv(collection.left_out).empty


def test_constant_channels_stop_and_all_are_named(collection, images):
    for index in (0, 1):
        image = images[index].copy()
        image[5] = 7
        rewrite(collection, index, image)
    collection.convert()
    with pytest.raises(InputError, match="2 images of tom20 can't be used") as stopped:
        collection.check()
    for index in (0, 1):
        assert f"data/tom20/{index}.czi channel 5 (H3342) is constant (every voxel is 7)" in str(stopped.value)
        assert str(stopped.value).count(f"data/tom20/{index}.czi") == 1
    collection.check("skip")


def test_skipped_channel_loses_nothing_else(collection, images):
    image = images[0].copy()
    image[5] = 7
    rewrite(collection, 0, image)
    collection.convert()
    left_out = pd.read_csv(collection.left_out)
    assert left_out.to_numpy().tolist() == [
        [
            "data/tom20/0.czi",
            "dna",
            5,
            "data/tom20/0.czi channel 5 (H3342) is constant (every voxel is 7), so it can't be standardised.",
        ]
    ]
    with h5py.File(collection.volumes) as file:
        assert sorted(file["0000"]) == ["signal", "tom20"]
        assert len(file) == 3


def test_constant_signal_leaves_out_all_its_tasks(collection, images):
    image = images[0].copy()
    image[6] = 7
    rewrite(collection, 0, image)
    collection.convert()
    assert sorted(pd.read_csv(collection.left_out).task) == ["dna", "tom20"]
    with h5py.File(collection.volumes) as file:
        assert sorted(file) == ["0001", "0002"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "1.czi").unlink(), "1.czi is in the image list but not in .*tom20.tar.gz"),
        (
            lambda folder: (folder / "1.czi").write_bytes(b"no image" * 99),
            "1.czi is of no format",
        ),
        (
            lambda folder: (folder / "1.czi").write_bytes((folder / "1.czi").read_bytes()[:3000]),
            "1.czi can't be read as an image|1.czi channel . ",
        ),
    ],
)
def test_missing_or_corrupt_image(collection, spoil, message):
    spoil(collection.folder)
    collection.pack()
    collection.convert()
    with pytest.raises(InputError, match=message) as stopped:
        collection.check()
    assert "ssp-convert" not in str(stopped.value)
    assert set(pd.read_csv(collection.left_out).path_czi) == {"data/tom20/1.czi"}


def test_channel_out_of_range(collection):
    images = pd.read_csv(collection.image_list)
    images.loc[1, "channel_target"] = 9
    images.to_csv(collection.image_list, index=False)
    collection.convert()
    with pytest.raises(InputError, match=r"1.czi has no channel 9; it has 0 CMDRP_camera_2, .* 6 Bright_100\."):
        collection.check()


def test_truncated_archive(collection):
    whole = collection.archive.read_bytes()
    for share in (0.3, 0.99):
        collection.archive.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="is truncated or not a .tar.gz"):
            collection.convert()
        assert collection.outputs() == []


def test_not_an_archive(collection):
    collection.archive.write_bytes(b"<html>Not found</html>")
    with pytest.raises(InputError, match="is truncated or not a .tar.gz"):
        collection.convert()


@pytest.mark.parametrize("name", ["../escaped.czi", "/escaped.czi"])
def test_member_that_escapes_its_folder(collection, name, tmp_path):
    with tarfile.open(collection.archive, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    if name.startswith("/"):
        # members are not written by their names, so this one is merely not on the list
        with pytest.raises(InputError, match="(?s)not in.*No image of it is left to use"):
            collection.convert()
    else:
        with pytest.raises(InputError, match="is not safe to unpack"):
            collection.convert()
    assert collection.outputs() == []
    assert not list(tmp_path.rglob("escaped.czi"))


def test_image_that_is_in_the_archive_twice(collection):
    with tarfile.open(collection.archive, "w:gz") as tar:
        for _ in range(2):
            tar.add(collection.folder / "0.czi", "tom20/0.czi")
    with pytest.raises(InputError, match="holds tom20/0.czi twice"):
        collection.convert()
    assert collection.outputs() == []


def test_rows_that_are_one_file():
    rows = [{"path_czi": f"{top}/tom20/0.czi", "channel_signal": 6, "channel_target": 3} for top in "ab"]
    with pytest.raises(InputError, match="names both a/tom20/0.czi and b/tom20/0.czi"):
        image_jobs(pd.DataFrame(rows), "tom20", None, None)


def test_lists_that_disagree_on_the_signal():
    row = {"path_czi": "data/tom20/0.czi", "channel_signal": 6, "channel_target": 3}
    images, candidates = pd.DataFrame([row]), pd.DataFrame([row | {"channel_signal": 4}])
    with pytest.raises(InputError, match="disagree on the signal channel of data/tom20/0.czi: 6 for tom20, 4 for dna"):
        image_jobs(images, "tom20", candidates, "dna")
