"""Datasets, open for reading."""

import pytest

from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError


def test_damaged_dataset(tmp_path):
    (tmp_path / "train.h5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="can't be read as a dataset"):
        Dataset(tmp_path / "train.h5")
