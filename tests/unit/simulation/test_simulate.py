"""The simulated collection: its pixels, its files and its lists."""

import csv
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bioio import BioImage

from ssp_model.errors import InputError
from ssp_model.images.reader import open_file
from ssp_model.simulation.optics import BACKGROUND_PHOTONS, CAMERA_OFFSET, COUNTS_PER_PHOTON, READ_NOISE_PHOTONS
from ssp_model.simulation.simulate import PROTEINS, SimulationConfig, channel_names, simulate_collection, simulate_image

SMALL = SimulationConfig(structures=("fibrillarin", "tom20", "membrane_caax_63x"), images=2, shape_zyx=(12, 64, 64))
FIELD = (24, 128, 128)


def read_list(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("simulated")
    simulate_collection(directory, SMALL)
    return directory


def extract(collection: Path, structure: str, to: Path) -> list[Path]:
    with tarfile.open(collection / f"{structure}.tar.gz") as archive:
        archive.extractall(to)
        return [to / name for name in archive.getnames()]


@pytest.mark.parametrize("structure", SMALL.structures)
def test_files_hold_the_simulated_images(collection: Path, tmp_path: Path, structure: str) -> None:
    files = extract(collection, structure, tmp_path)

    assert [file.name for file in files] == [f"simulated_{structure}_{i:04d}.czi" for i in range(SMALL.images)]
    for index, file in enumerate(files):
        image = BioImage(file)
        np.testing.assert_array_equal(image.get_image_data("CZYX"), simulate_image(structure, index, SMALL))
        assert image.dtype == np.uint16
        assert tuple(image.channel_names) == channel_names(structure)
        assert image.physical_pixel_sizes == pytest.approx(SMALL.voxel_size_um)


def test_pixels_do_not_depend_on_workers_or_other_images(collection: Path, tmp_path: Path) -> None:
    alone = SimulationConfig(structures=("tom20",), images=3, shape_zyx=SMALL.shape_zyx)

    simulate_collection(tmp_path / "other", alone, workers=2)

    files = extract(tmp_path / "other", "tom20", tmp_path)
    references = extract(collection, "tom20", tmp_path / "reference")
    assert len(files) == 3
    for file, reference in zip(files, references, strict=False):
        np.testing.assert_array_equal(BioImage(file).data, BioImage(reference).data)


def test_images_differ_by_seed_structure_and_index() -> None:
    other_seed = SimulationConfig(structures=SMALL.structures, images=2, shape_zyx=SMALL.shape_zyx, seed=1)

    signals = [
        simulate_image("tom20", 0, SMALL)[6],
        simulate_image("tom20", 1, SMALL)[6],
        simulate_image("fibrillarin", 0, SMALL)[6],
        simulate_image("tom20", 0, other_seed)[6],
    ]

    assert len({signal.tobytes() for signal in signals}) == len(signals)


def test_lists_name_the_files_and_channels(collection: Path) -> None:
    for structure in SMALL.structures:
        rows = read_list(collection / "lists" / f"{structure}.csv")
        names = channel_names(structure)
        with tarfile.open(collection / f"{structure}.tar.gz") as archive:
            assert [row["path_czi"] for row in rows] == [f"data/{name}" for name in archive.getnames()]
        for row in rows:
            assert names[int(row["channel_signal"])] == "Bright_100"
            assert names[int(row["channel_target"])] == "EGFP"
            assert row["structureProteinName"] == PROTEINS[structure]


def test_dna_list_leaves_out_fibrillarin_and_membrane(collection: Path) -> None:
    rows = read_list(collection / "lists" / "dna.csv")

    assert [row["path_czi"] for row in rows] == [f"data/tom20/simulated_tom20_{i:04d}.czi" for i in range(2)]
    assert {(row["channel_signal"], row["channel_target"]) for row in rows} == {("6", "5")}


def test_second_call_changes_nothing(collection: Path) -> None:
    files = sorted(path for path in collection.rglob("*") if path.is_file())
    before = [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in files]

    simulate_collection(collection, SMALL)

    assert [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in files] == before
    assert not list(collection.glob(".*"))


def test_targets_without_noise_are_written_beside_the_same_images(collection: Path, tmp_path: Path) -> None:
    config = replace(SMALL, structures=("tom20", "membrane_caax_63x"), images=1, noise_free=True)
    simulate_collection(tmp_path / "both", config)

    tom20, membrane = (tmp_path / f"both/noise_free/{name}/simulated_{name}_0000.tif" for name in config.structures)
    with open_file(tom20, tom20.name) as file:
        image = file.image()
        assert list(image.channel_names) == ["H3342", "EGFP"]
        assert image.pixel_size_um == pytest.approx(SMALL.voxel_size_um)
        noise_free = image.read("EGFP")
    noisy = simulate_image("tom20", 0, SMALL)[channel_names("tom20").index("EGFP")]
    assert noise_free.shape == noisy.shape
    # the variance of the noise: photons, read noise and rounding
    photons = (noise_free - CAMERA_OFFSET) / COUNTS_PER_PHOTON
    expected = COUNTS_PER_PHOTON**2 * (photons.mean() + READ_NOISE_PHOTONS**2) + 1 / 12
    assert np.square(noisy - noise_free).mean() == pytest.approx(expected, rel=0.05)
    assert membrane.exists()
    plain, asked = (extract(folder, "tom20", tmp_path / folder.name)[0] for folder in (collection, tmp_path / "both"))
    np.testing.assert_array_equal(BioImage(plain).data, BioImage(asked).data)


def test_without_targets_without_noise_the_record_is_as_before(tmp_path: Path) -> None:
    config = SimulationConfig(structures=("zo1",), images=1, shape_zyx=(6, 32, 32))
    simulate_collection(tmp_path, replace(config, noise_free=True))
    assert (tmp_path / "noise_free/zo1/simulated_zo1_0000.tif").exists()
    simulate_collection(tmp_path, config)
    assert not (tmp_path / "noise_free").exists()
    # a collection of an earlier version is not written again
    assert "noise_free" not in json.loads((tmp_path / "collection.json").read_text())


def test_another_config_replaces_the_collection(tmp_path: Path) -> None:
    for images in (1, 2):
        config = SimulationConfig(structures=("zo1",), images=images, shape_zyx=(6, 32, 32))
        simulate_collection(tmp_path, config)
        assert len(extract(tmp_path, "zo1", tmp_path / str(images))) == images


def test_a_lost_archive_is_made_again(tmp_path: Path) -> None:
    config = SimulationConfig(structures=("zo1",), images=1, shape_zyx=(6, 32, 32))
    simulate_collection(tmp_path, config)
    (tmp_path / "zo1.tar.gz").unlink()

    simulate_collection(tmp_path, config)

    assert (tmp_path / "zo1.tar.gz").exists()


def test_unknown_structure_is_an_input_error(tmp_path: Path) -> None:
    config = SimulationConfig(structures=("centriole",), images=1)

    with pytest.raises(InputError, match=r"'centriole'.*alpha_tubulin"):
        simulate_collection(tmp_path, config)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("structure", sorted(PROTEINS))
def test_every_structure_has_a_place(structure: str) -> None:
    config = SimulationConfig(structures=(structure,), images=1, shape_zyx=FIELD)
    image = simulate_image(structure, 0, config).astype(float)
    names = channel_names(structure)
    image -= CAMERA_OFFSET + COUNTS_PER_PHOTON * BACKGROUND_PHOTONS
    target, dna = image[names.index("EGFP")], image[names.index("H3342")]
    in_nuclei = dna > 0.35 * dna.max()

    assert target.max() > target.mean() + 3 * target.std()
    share_in_nuclei = target[in_nuclei].sum() / target.sum()
    if structure == "fibrillarin":
        # nucleoli lie in nuclei, where the DNA is dark
        nucleoli = target > 0.5 * target.max()
        assert share_in_nuclei > 0.3
        assert 0 < dna[nucleoli].mean() < dna[in_nuclei].mean()
    elif structure != "lamin_b1":
        assert share_in_nuclei < 0.15


def test_structures_may_differ_in_their_number_of_images(tmp_path: Path) -> None:
    config = SimulationConfig(structures=("tom20", "zo1"), images=1, images_of={"zo1": 2}, shape_zyx=SMALL.shape_zyx)
    simulate_collection(tmp_path, config)
    assert [len(extract(tmp_path, name, tmp_path / "files")) for name in config.structures] == [1, 2]
    assert [len(read_list(tmp_path / f"lists/{name}.csv")) for name in (*config.structures, "dna")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("images_of", "sentence"),
    [
        ({"zo1": 1}, "images_of names zo1, which structures does not name"),
        ({"tom20": 0}, "The number of images of tom20 is below 1"),
    ],
)
def test_wrong_numbers_of_images_are_told(tmp_path: Path, images_of: dict[str, int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        simulate_collection(tmp_path, SimulationConfig(structures=("tom20",), images=1, images_of=images_of))
