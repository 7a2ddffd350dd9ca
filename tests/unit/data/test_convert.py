"""Conversion of archives, good and bad."""

import io
import os
import signal
import socket
import subprocess
import tarfile

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile
from scipy import ndimage

from ssp_model.collection.archive import unpack
from ssp_model.collection.tabulate import write_samples_of_archive
from ssp_model.data.convert import RawImages, convert_image, convert_images
from ssp_model.data.left_out import check_left_out, problem_text
from ssp_model.data.preprocess import Resizing
from ssp_model.data.volumes import ConvertedImage
from ssp_model.errors import InputError
from ssp_model.images.reader import Image
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
        samples = tmp_path / "samples.csv"
        volumes = tmp_path / "out/tom20.h5"
        left_out = tmp_path / "out/tom20.left_out.csv"

        def pack(self) -> None:
            with tarfile.open(self.archive, "w:gz") as tar:
                tar.add(self.folder, "tom20")

        def convert(self, workers: int = 1) -> None:
            write_samples_of_archive({"tom20": self.image_list, "dna": self.dna_list}, self.samples)
            self.convert_samples(RawImages(self.archive), workers)

        def convert_samples(self, raw: RawImages, workers: int = 1) -> None:
            outputs = {"volumes": self.volumes, "left_out": self.left_out}
            resizing = Resizing(scale=(1, 0.5, 0.5))
            convert_images(raw, self.samples, outputs, structure="tom20", resizing=resizing, workers=workers)

        def check(self, on_bad_image: str = "stop") -> None:
            check_left_out(self.left_out, "tom20", on_bad_image, "--forcerun a.csv")

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
            assert group.attrs["image"] == f"data/tom20/{index}.czi"
            np.testing.assert_allclose(group.attrs["voxel_size_um"], [0.29, 0.21666, 0.21666], rtol=1e-6)
            for role, channel in {"signal": 6, "tom20": 3, "dna": 5}.items():
                if role not in group:
                    continue
                raw = image[channel].astype(np.float64)
                wanted = ndimage.zoom((raw - raw.mean()) / raw.std(), (1, 0.5, 0.5), mode="nearest")
                np.testing.assert_allclose(group[role], wanted, atol=1e-5)
                assert group[role].attrs["mean"] == pytest.approx(raw.mean())
    assert pd.read_csv(collection.left_out).empty


def test_raw_images_that_a_killed_conversion_left_are_removed(collection, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as dead:
        pass
    left = tmp_path / f"ssp-convert.{socket.gethostname()}.{dead.pid}.x"
    left.mkdir()
    collection.pack()
    collection.convert()
    assert not left.exists()


def test_constant_channels_stop_and_all_are_named(collection, images):
    for index in (0, 1):
        image = images[index].copy()
        image[5] = 7
        rewrite(collection, index, image)
    collection.convert()
    with pytest.raises(InputError, match="2 images of tom20 can't be used for dna:") as stopped:
        collection.check()
    for index in (0, 1):
        assert f"data/tom20/{index}.czi channel 5 (H3342) is constant (every voxel is 7)" in str(stopped.value)
        assert str(stopped.value).count(f"data/tom20/{index}.czi") == 1
    collection.check("skip")


def test_it_is_told_how_mended_images_are_converted(tmp_path, caplog):
    row = {"image": "a.czi", "scene": None, "time": None, "task": "tom20", "channel": 3, "reason": "a.czi is empty."}
    pd.DataFrame([row]).to_csv(tmp_path / "left_out.csv")
    again = "--forcerun results/lists/tom20.csv"
    command = f"run the same command again with {again}"
    with pytest.raises(InputError, match=f"take them off the list, and {command}\nOr set"):
        check_left_out(tmp_path / "left_out.csv", "tom20", "stop", again)
    check_left_out(tmp_path / "left_out.csv", "tom20", "skip", again)
    assert caplog.messages[0].endswith(f"a.czi is empty.\nTo use them after all, mend them, and {command}")


def test_the_structure_that_a_channel_was_meant_for_is_blamed():
    rows = [
        ("a.czi", "tom20", "a.czi is empty."),
        ("a.czi", "dna", "a.czi is empty."),
        ("b.czi", "dna", "No channel 9."),
    ]
    table = pd.DataFrame(rows, columns=["image", "task", "reason"]).assign(scene=None, time=None)
    assert problem_text(table, "tom20") == "2 images of tom20 can't be used:\n  a.czi is empty.\n  dna: No channel 9."
    assert problem_text(table[2:], "tom20") == "1 image of tom20 can't be used for dna:\n  No channel 9."


def test_skipped_channel_loses_nothing_else(collection, images):
    image = images[0].copy()
    image[5] = 7
    rewrite(collection, 0, image)
    collection.convert()
    left_out = pd.read_csv(collection.left_out)
    assert left_out[["image", "task", "channel", "reason"]].to_numpy().tolist() == [
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
    assert set(pd.read_csv(collection.left_out).image) == {"data/tom20/1.czi"}


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
        with pytest.raises(InputError, match="is truncated, damaged or not a tar or zip"):
            collection.convert()
        assert collection.outputs() == []


def test_not_an_archive(collection):
    collection.archive.write_bytes(b"<html>Not found</html>")
    with pytest.raises(InputError, match="is truncated, damaged or not a tar or zip"):
        collection.convert()


@pytest.mark.parametrize("name", ["../escaped.czi", "/escaped.czi"])
def test_member_that_escapes_its_folder(collection, name, tmp_path):
    with tarfile.open(collection.archive, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    if name.startswith("/"):
        # members are not written by their names, so this one is merely not on the list
        with pytest.raises(InputError, match="holds none of the 3 listed images.* the archive has no folder"):
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
    with pytest.raises(InputError, match="holds tom20/0.czi twice, with the same content"):
        collection.convert()
    assert collection.outputs() == []


def test_a_folder_in_place_of_an_archive_stays_as_it_is(collection):
    collection.archive = collection.folder
    before = {path.name: path.read_bytes() for path in collection.folder.iterdir()}
    collection.convert()
    with h5py.File(collection.volumes) as file:
        assert sorted(file) == ["0000", "0001", "0002"]
    assert {path.name: path.read_bytes() for path in collection.folder.iterdir()} == before


def test_a_folder_has_no_checksum(collection):
    with pytest.raises(InputError, match="tom20 is a folder, which has no SHA-256; take it out of collection.sha256"):
        RawImages(collection.folder, sha256="0" * 64).check()


def test_an_archive_with_a_folder_of_another_name_gives_the_same_volumes(collection):
    collection.convert()
    wanted = collection.volumes.read_bytes()
    with tarfile.open(collection.archive, "w:gz") as tar:
        tar.add(collection.folder, "TOM20 raw")
    collection.convert()
    assert collection.volumes.read_bytes() == wanted


def test_rows_that_are_one_file(collection):
    rows = [{"image": f"{top}/tom20/0.czi", "structure": "tom20", "signal": 6, "target": 3} for top in "ab"]
    pd.DataFrame(rows).to_csv(collection.samples, index=False)
    with pytest.raises(InputError, match="names both a/tom20/0.czi and b/tom20/0.czi, which are one file"):
        collection.convert_samples(RawImages(collection.archive))


def test_own_files_scenes_and_time_points(collection, tmp_path):
    voxels = np.random.default_rng(0).integers(0, 999, (2, 2, 4, 12, 10), np.uint16)
    with tifffile.TiffWriter(tmp_path / "own.ome.tif", ome=True) as file:
        for scene in ("left", "right"):
            file.write(voxels + len(scene), metadata={"axes": "TCZYX", "Name": scene}, photometric="minisblack")
    own = {"image": tmp_path / "own.ome.tif", "signal": 0, "target": 1, "voxel_size_z_um": 0.3}
    own |= {"voxel_size_y_um": 0.1, "voxel_size_x_um": 0.1}
    rows = [
        own | {"structure": "tom20", "scene": "right", "time": 1},
        own | {"structure": "zo1", "scene": "right", "time": 1, "target": 0, "signal": 0},
        own | {"structure": "tom20", "scene": "left", "time": 0},
        own | {"structure": "tom20", "image": tmp_path / "gone.tif"},
    ]
    rows[1]["target"] = 1
    pd.DataFrame(rows).to_csv(collection.samples, index=False)
    collection.convert_samples(RawImages())
    with h5py.File(collection.volumes) as file:
        names = [group.attrs["image"] for group in file.values()]
        assert names == [f"{tmp_path}/own.ome.tif scene {scene}" for scene in ("right time 1", "left time 0")]
        assert [sorted(group) for group in file.values()] == [["signal", "tom20", "zo1"], ["signal", "tom20"]]
        assert file["0000"].attrs["voxel_size_um"] == pytest.approx((0.3, 0.2, 0.2))
        raw = voxels[1, 1] + 5
        wanted = ndimage.zoom((raw - raw.mean()) / raw.std(), (1, 0.5, 0.5), mode="nearest")
        np.testing.assert_allclose(file["0000/zo1"][()], wanted, atol=1e-5)
    left_out = pd.read_csv(collection.left_out)
    assert left_out.reason.tolist() == [f"{tmp_path}/gone.tif does not exist; check its path in the table of samples."]


def test_a_stack_that_is_stored_as_time_points_and_does_not_know_its_size_in_z(collection, tmp_path):
    voxels = np.random.default_rng(0).integers(0, 999, (4, 2, 12, 10), np.uint16)
    path = tmp_path / "frames.tif"
    tifffile.imwrite(path, voxels, imagej=True, resolution=(5, 5), metadata={"axes": "TCYX", "unit": "um"})
    row = {"image": path, "structure": "tom20", "signal": 0, "target": 1, "time": "Z", "voxel_size_z_um": 0.3}
    pd.DataFrame([row]).to_csv(collection.samples, index=False)
    collection.convert_samples(RawImages())
    with h5py.File(collection.volumes) as file:
        assert file["0000"].attrs["voxel_size_um"] == pytest.approx((0.3, 0.4, 0.4))
        raw = voxels[:, 1]
        wanted = ndimage.zoom((raw - raw.mean()) / raw.std(), (1, 0.5, 0.5), mode="nearest")
        np.testing.assert_allclose(file["0000/tom20"][()], wanted, atol=1e-5)


def test_a_voxel_size_of_one_axis_is_used_with_those_of_the_file(collection, tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "CZYX", "PhysicalSizeZ": 0.5, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}
    voxels = np.random.default_rng(0).integers(0, 999, (2, 4, 12, 10), np.uint16)
    tifffile.imwrite(path, voxels, ome=True, photometric="minisblack", metadata=metadata)
    row = {"image": path, "structure": "tom20", "signal": 0, "target": 1, "voxel_size_z_um": 0.3}
    pd.DataFrame([row]).to_csv(collection.samples, index=False)
    collection.convert_samples(RawImages())
    with h5py.File(collection.volumes) as file:
        assert file["0000"].attrs["pixel_size_um"] == pytest.approx((0.3, 0.1, 0.1))


def test_the_scenes_of_images_left_out_are_listed_as_in_the_table(collection, tmp_path):
    """An image without scenes beside one with: their numbers stay whole."""
    rows = [{"image": tmp_path / name, "scene": scene} for name, scene in (("gone.tif", ""), ("gone.czi", 1))]
    rows.append({"image": collection.folder / "0.czi", "scene": ""})
    pd.DataFrame(rows).assign(structure="tom20", signal=6, target=3).to_csv(collection.samples, index=False)
    collection.convert_samples(RawImages())
    assert pd.read_csv(collection.left_out, dtype=str, keep_default_na=False).scene.tolist() == ["1", ""]


def test_a_file_is_summed_up_once_for_all_its_time_points(collection, tmp_path, monkeypatch):
    sums = []
    monkeypatch.setattr("ssp_model.data.convert.sha256_of", lambda path: sums.append(path) or "sum")
    voxels = np.random.default_rng(0).integers(0, 999, (3, 2, 4, 12, 10), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", voxels, ome=True, photometric="minisblack", metadata={"axes": "TCZYX"})
    rows = [{"image": tmp_path / "a.ome.tif", "time": time} for time in range(3)]
    pd.DataFrame(rows).assign(structure="tom20", signal=0, target=1).to_csv(collection.samples, index=False)
    collection.convert_samples(RawImages())
    assert sums == [tmp_path / "a.ome.tif"]


def test_a_file_that_may_not_be_read_is_named_and_the_others_are_converted(collection, monkeypatch):
    def refuse(path):
        if path.name == "1.czi":
            raise PermissionError(13, "Permission denied")
        return "sum"

    monkeypatch.setattr("ssp_model.data.convert.sha256_of", refuse)
    collection.convert()
    assert pd.read_csv(collection.left_out).reason.str.contains(r"1.czi can't be read \(Permission denied\)").all()
    with h5py.File(collection.volumes) as file:
        assert sorted(file) == ["0000", "0002"]


@pytest.mark.parametrize("dies_first", [False, True], ids=["at once", "before the next is unpacked"])
def test_an_image_that_kills_its_process_is_named_and_the_others_are_converted(collection, monkeypatch, dies_first):
    def unpack_after_death(*arguments):
        for file in unpack(*arguments):
            yield file
            if dies_first and file.name.endswith("1.czi"):
                while not psutil.wait_procs(psutil.Process().children(), timeout=0.1)[0]:
                    pass

    monkeypatch.setattr("ssp_model.data.convert.unpack", unpack_after_death)
    (collection.folder / "1.czi").write_bytes(b"kill")
    collection.pack()
    # spawned processes import this module and find the function in it
    monkeypatch.setattr("ssp_model.data.convert.convert_image", convert_or_die)
    collection.convert(workers=2)
    assert pd.read_csv(collection.left_out).reason.str.contains("1.czi could not be converted: the process was").all()
    with h5py.File(collection.volumes) as file:
        assert sorted(file) == ["0000", "0002"]


def convert_or_die(path, job, resizing):
    if path.read_bytes() == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return convert_image(path, job, resizing)


def test_an_image_too_large_for_the_memory_is_named_and_the_others_are_converted(collection, monkeypatch):
    def read(self, channel, place):
        if "1.czi" in self.name:
            raise MemoryError
        return whole(self, channel, place)

    whole = Image.read
    monkeypatch.setattr(Image, "read", read)
    collection.convert()
    assert pd.read_csv(collection.left_out).reason.str.contains("1.czi needs more memory than there is").all()
    with h5py.File(collection.volumes) as file:
        assert sorted(file) == ["0000", "0002"]


class TooLarge(ConvertedImage):
    """A converted image that there is no memory to hand over."""

    def __reduce__(self):
        raise MemoryError


def convert_to_hand_over(path, job, resizing):
    converted = convert_image(path, job, resizing)
    return TooLarge(**vars(converted)) if path.name == "1.czi" else converted


def test_a_converted_image_too_large_to_hand_over_is_named_and_the_others_are_converted(collection, monkeypatch):
    monkeypatch.setattr("ssp_model.data.convert.convert_image", convert_to_hand_over)
    collection.convert(workers=2)
    assert pd.read_csv(collection.left_out).reason.str.contains("1.czi needs more memory than there is").all()
    with h5py.File(collection.volumes) as file:
        assert sorted(file) == ["0000", "0002"]
