"""What became of images."""

import pandas as pd
import pytest

from ssp_model.errors import InputError
from ssp_model.prediction.outcomes import Outcome, gather_outcomes, write_outcomes

DONE = Outcome("a.czi", "0", "out/a.ome.tif", "done", "", "1.25", "a.czi is unlike the training images.")
FAILED = Outcome("b.czi", "", "", "failed", "b.czi is empty (0 bytes), not a microscope image.")


def test_tables_of_jobs_become_one(tmp_path):
    for number in range(2):
        write_outcomes([DONE], tmp_path / f"{number}.csv")
    gather_outcomes([tmp_path / "0.csv", tmp_path / "1.csv"], tmp_path / "all.csv")
    rows = pd.read_csv(tmp_path / "all.csv", dtype=str, keep_default_na=False)
    assert rows.to_dict("records") == [vars(DONE)] * 2


def test_failed_images_are_named_with_the_job_to_repeat(tmp_path):
    write_outcomes([DONE], tmp_path / "0.csv")
    write_outcomes([DONE, *[FAILED] * 11], tmp_path / "1.csv")
    with pytest.raises(
        InputError, match=r"^11 of 13 predictions failed: b.czi is empty .* \.\.\. and 1 more\."
    ) as raised:
        gather_outcomes([tmp_path / "0.csv", tmp_path / "1.csv"], tmp_path / "all.csv")
    assert str(tmp_path / "1.csv") in str(raised.value)
    assert str(tmp_path / "0.csv") not in str(raised.value)
    assert not (tmp_path / "all.csv").exists()
