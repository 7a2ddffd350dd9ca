"""Names of files, and what links lead to."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ssp_model.evaluation.evaluate import image_file
from ssp_model.files import own_file, short_name
from ssp_model.prediction.outputs import stems


@pytest.mark.parametrize("letter", ["x", "ö", "細"])
def test_outputs_of_images_with_the_longest_names_can_be_written(tmp_path, letter):
    names = [letter * (250 // len(letter.encode()) - 1) + end for end in "ab"]
    images = [tmp_path / f"{name}.czi" for name in names]
    dataset = SimpleNamespace(index=pd.DataFrame({"image": [f"data/{'s' * 100}/{path.name}" for path in images]}))
    for image in images:
        image.touch()
    for found in (
        [image_file(dataset, 0), image_file(dataset, 1)],
        [f"{stem}.ome.tif" for stem in stems(images).values()],
    ):
        assert len(set(found)) == 2
        for name in found:
            (tmp_path / f".part.{name}").touch()


def test_usual_names_stay_as_they_are():
    assert short_name("AICS-10_3") == "AICS-10_3"
    assert short_name("x" * 200) == "x" * 200


def test_the_own_file_is_what_a_link_leads_to(tmp_path):
    (tmp_path / "mine.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "mine.csv")
    assert own_file(tmp_path / "link.csv") == own_file(tmp_path / "mine.csv") == tmp_path / "mine.csv"
    assert own_file("results/raw/tom20.tar.gz") == Path("results/raw/tom20.tar.gz")
