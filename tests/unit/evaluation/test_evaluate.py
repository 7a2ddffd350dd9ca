"""Scores of a model: as its predictions are, and refused where they would mean nothing."""

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile

from ssp_model.config.schema import PANEL_NAMES, ScoringConfig
from ssp_model.errors import InputError
from ssp_model.evaluation.evaluate import Files, evaluate_model, evaluate_structure, predict_composite
from ssp_model.evaluation.metrics import ALL_METRICS, METRICS, score
from ssp_model.evaluation.panel import Pair
from ssp_model.evaluation.panels import measure
from ssp_model.evaluation.regions import read_regions
from ssp_model.evaluation.scores import Run
from ssp_model.models.model_file import load_model
from ssp_model.prediction.signal_predictor import SignalPredictor
from ssp_model.prediction.sliding_window import Windows, predict_volume
from tests.helpers import OVERLAPPING

RUN = Run("compared", 7)
SCORING = ScoringConfig(panels=PANEL_NAMES, objects={"zo1": "spots"})
PICTURED = {"experiment": "compared", "scoring": SCORING, "save_images": "pictured"}


@pytest.fixture
def predictor(model) -> SignalPredictor:
    return SignalPredictor(model, OVERLAPPING, "float32")


def test_scores_are_those_of_the_predictions(model, predictor, datasets, tmp_path):
    files = Files(*(tmp_path / name for name in ("zo1.csv", "curves.csv", "regions.h5", "images")))
    evaluate_structure(
        predictor, datasets["test"], run=RUN, structure="zo1", scoring=SCORING, save_images="all", files=files
    )
    rows = pd.read_csv(files.per_image)
    assert list(rows) == ["experiment", "seed", "structure", "image", *ALL_METRICS, "place", "file"]
    assert rows[["experiment", "seed"]].to_numpy().tolist() == [["compared", 7]] * 2
    assert rows.image.tolist() == ["data/zo1/4.czi", "data/zo1/5.czi"]
    network, _ = load_model(model)
    curves = pd.read_csv(files.curves)
    for row in rows.itertuples():
        signal, target, kept = tifffile.imread(tmp_path / "images" / row.file)
        predicted = predict_volume(network.specialise(1), signal, Windows((16, 16, 16)))
        np.testing.assert_allclose(kept, predicted, atol=1e-5)
        wanted = score(predicted, target)
        assert {name: getattr(row, name) for name in METRICS} == pytest.approx(wanted, rel=1e-3)
        wanted = measure(Pair(kept, target, (0.3, 0.3, 0.3), "zo1"), SCORING)
        found = {name: getattr(row, name) for name in wanted.numbers}
        assert found == pytest.approx(wanted.numbers, rel=1e-3, nan_ok=True)
        for name, (x, y) in wanted.curves.items():
            points = curves[(curves.image == row.image) & (curves.curve == name)]
            np.testing.assert_allclose(points[["x", "y"]], np.transpose([x, y]), rtol=1e-3)
    assert not list((tmp_path / "images").glob("*.npy"))
    regions = read_regions(files.regions)
    assert {region.image for of_kind in regions.values() for region in of_kind} <= set(rows.image)
    assert any(regions.values())


def test_whole_evaluation_and_composite(predictor, datasets, tmp_path):
    evaluate_model(predictor, datasets["test"], tmp_path / "out", **PICTURED)
    images = pd.read_csv(tmp_path / "out/per_image.csv")
    assert images.structure.tolist() == ["tom20", "tom20", "zo1", "zo1"]
    for row in images.itertuples():
        # the seed is the model's own
        assert (row.experiment, row.seed) == ("compared", 3)
        assert (tmp_path / "out/images" / row.structure / row.file).exists()
    predict_composite(predictor, datasets["test"], tmp_path / "out/per_image.csv", tmp_path / "all.ome.tif")
    with tifffile.TiffFile(tmp_path / "all.ome.tif") as tiff:
        assert tiff.series[0].shape == (3, 16, 20, 18)
        assert 'Name="zo1"' in tiff.ome_metadata


def test_scores_name_the_group_of_an_image(predictor, datasets, tmp_path):
    with h5py.File(datasets["test"], "a") as file:
        groups = [f"day {number}" for number in range(len(file["index/task"]))]
        file.create_dataset("index/group", data=groups, dtype=h5py.string_dtype())
    evaluate_model(predictor, datasets["test"], tmp_path, **PICTURED)
    assert pd.read_csv(tmp_path / "per_image.csv").group.tolist() == ["day 0", "day 1", "day 2", "day 3"]
    assert pd.read_csv(tmp_path / "per_structure.csv").groups.tolist() == [2, 2]


def test_panels_that_are_not_asked_for_are_not_measured(predictor, datasets, tmp_path):
    evaluate_model(
        predictor, datasets["test"], tmp_path, **PICTURED | {"scoring": ScoringConfig(panels=(), objects={})}
    )
    assert set(pd.read_csv(tmp_path / "per_image.csv")) & set(ALL_METRICS) == set(METRICS)
    assert set(pd.read_csv(tmp_path / "per_structure.csv")) & set(ALL_METRICS) == set(METRICS)
    assert (tmp_path / "curves/zo1.csv").read_text() == "image,curve,x,y\n"


def test_a_model_that_does_not_tell_its_seed(predictor, datasets, tmp_path):
    predictor.info.training.clear()
    evaluate_model(predictor, datasets["test"], tmp_path / "out", **PICTURED)
    assert pd.read_csv(tmp_path / "out/overall.csv").seed.tolist() == [0, 0]


@pytest.mark.parametrize("seed", ["3", None, True, -1, 1.5])
def test_a_model_with_a_seed_that_cannot_be_one(predictor, tmp_path, seed):
    predictor.info.training["seed"] = seed
    with pytest.raises(InputError, match=f"its training.seed is {seed!r} but should be a whole number from 0"):
        evaluate_model(predictor, "none.h5", tmp_path, **PICTURED)


def test_another_voxel_size_or_unknown_structures_are_refused(predictor, datasets, tmp_path):
    files = Files(*(tmp_path / name for name in ("zo1.csv", "curves.csv", "regions.h5", "images")))

    def evaluate(structure: str) -> None:
        evaluate_structure(
            predictor, datasets["test"], run=RUN, structure=structure, scoring=SCORING, save_images="all", files=files
        )

    with pytest.raises(InputError, match=r"has no image of golgi; it has tom20, zo1\."):
        evaluate("golgi")
    with h5py.File(datasets["test"], "a") as file:
        file.attrs["voxel_size_um"] = [0.3, 0.1, 0.1]
    with pytest.raises(InputError, match="voxels of 0.300 x 0.100 x 0.100 um .* trained at 0.300 x 0.300 x 0.300 um"):
        evaluate("zo1")
    with h5py.File(datasets["test"], "a") as file:
        file.attrs["voxel_size_um"] = [0.3, 0.3, 0.3]
        file["index/task"][0] = "golgi"
        file.attrs["tasks"] = ["golgi", "tom20", "zo1"]
    with pytest.raises(InputError, match="has samples of golgi, but the model predicts tom20, zo1 only"):
        evaluate("zo1")
    assert not any(path.exists() for path in files)
