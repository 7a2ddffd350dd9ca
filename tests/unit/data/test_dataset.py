"""Datasets, open for reading."""

import h5py
import pytest

from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError


def test_damaged_dataset(tmp_path):
    (tmp_path / "train.h5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="can't be read as a dataset"):
        Dataset(tmp_path / "train.h5")


def test_a_dataset_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"train.h5 does not exist; check the path\.$"):
        Dataset(tmp_path / "train.h5")


def test_volumes_are_no_dataset(tmp_path):
    """A file of volumes has groups of images, but no index."""
    with h5py.File(tmp_path / "tom20.h5", "w") as file:
        file.create_group("0000").attrs["path_czi"] = "a.czi"
    sentence = r"tom20\.h5 is not a dataset: it has no index of samples .*; give a file such as results/datasets/test"
    with pytest.raises(InputError, match=sentence):
        Dataset(tmp_path / "tom20.h5")
