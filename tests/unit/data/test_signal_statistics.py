"""Measures of signals."""

import json

import h5py
import numpy as np
import pytest

from ssp_model.data import signal_statistics
from ssp_model.data.dataset import Dataset
from ssp_model.data.signal_statistics import MOST_PLANES, PERCENTS, THIRDS, measure, training_signals

SHAPE = (24, 64, 64)


def noise(shape=SHAPE, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(("period", "band"), [(3, "fine"), (6, "small"), (12, "medium"), (24, "large")])
@pytest.mark.parametrize(("axis", "name"), [(0, "axial"), (1, "lateral"), (2, "lateral")])
def test_a_wave_is_in_the_band_of_its_period(axis, name, period, band):
    position = np.arange(48).reshape([-1 if a == axis else 1 for a in range(3)])
    wave = np.broadcast_to(np.sin(2 * np.pi * position / period), (48, 48, 48)).astype(np.float32)
    measures = measure(wave)
    powers = {key: value for key, value in measures.items() if key.startswith(name)}
    assert max(powers, key=powers.get) == f"{name} {band}"


def test_an_inverted_signal_has_the_opposite_measures():
    skewed = noise() ** 2
    found, inverted = measure(skewed), measure(-skewed)
    for percent in PERCENTS:
        assert inverted[f"intensity {percent}"] == -found[f"intensity {100 - percent}"]
    for third in THIRDS:
        assert found[f"asymmetry {third}"] > 0.1
        assert inverted[f"asymmetry {third}"] == pytest.approx(-found[f"asymmetry {third}"], abs=1e-4)
    same = [name for name in found if not name.startswith(("intensity", "asymmetry"))]
    assert [inverted[name] for name in same] == pytest.approx([found[name] for name in same], abs=1e-3)


def test_noise_is_not_continued_in_the_next_plane():
    structures = np.broadcast_to(noise()[:1], SHAPE)
    assert measure(noise())["continuity"] == pytest.approx(0, abs=0.05)
    assert measure(structures + noise())["continuity"] == pytest.approx(np.arctanh(0.5), abs=0.05)


def test_details_are_looked_for_in_each_third():
    volume = noise()
    volume[:8] *= 0.1
    volume[16:] *= 10
    measures = measure(volume)
    assert (measures["below"], measures["above"]) == pytest.approx((-2, 2), abs=0.05)


def test_only_the_middle_of_a_large_signal_is_read(tmp_path):
    large = np.zeros((MOST_PLANES + 20, 400, 100), np.float32)
    large[10:-10] = noise(large[10:-10].shape)
    other = large.copy()
    other[:10] = other[-10:] = 7
    # between the crops
    other[:, 120:130] = 7
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["signal"] = other
        assert measure(file["signal"]) == measure(large)
    other[30, 60] = 7
    assert measure(other) != measure(large)


def test_what_a_small_signal_does_not_tell_is_none():
    plane = measure(noise((1, 12, 40)))
    assert plane["continuity"] is plane["asymmetry middle"] is plane["axial small"] is None
    assert plane["lateral large"] is None or np.isfinite(plane["lateral large"])
    assert plane["lateral fine"] is not None
    constant = measure(np.zeros(SHAPE, np.float32))
    assert all(value is None or np.isfinite(value) for value in constant.values())


def test_each_training_image_is_measured_once(parts, train_set):
    with Dataset(train_set) as dataset:
        assert len(dataset) == 3
        found = training_signals(dataset)
        wanted = [measure(dataset.signal(sample)[()]) for sample in dataset.index.drop_duplicates("signal").index]
    assert found["num_images"] == 2
    assert found["measures"] == wanted
    assert found["num_pixels"] == [30 * 40] * 2
    assert found["pixel_size_um"] == [[0.45, 0.1, 0.1]] * 2
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_so_many_training_images_are_measured_at_most(train_set, monkeypatch):
    monkeypatch.setattr(signal_statistics, "MOST_IMAGES", 1)
    with Dataset(train_set) as dataset:
        found = training_signals(dataset)
    assert (found["num_images"], len(found["measures"]), len(found["pixel_size_um"])) == (2, 1, 1)


def test_older_datasets_do_not_tell_the_size_of_raw_pixels(train_set):
    with h5py.File(train_set, "a") as file:
        for signal in file["signals"].values():
            del signal.attrs["pixel_size_um"]
    with Dataset(train_set) as dataset:
        assert training_signals(dataset)["pixel_size_um"] == [[None] * 3] * 2
