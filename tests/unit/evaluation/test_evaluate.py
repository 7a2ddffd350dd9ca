"""Scores of a model: by structure, summed up, and refused where they would mean nothing."""

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile

from ssp_model.config.schema import PredictConfig
from ssp_model.errors import InputError
from ssp_model.evaluation import scores
from ssp_model.evaluation.evaluate import evaluate_model, evaluate_structure, predict_composite
from ssp_model.evaluation.metrics import METRICS, score
from ssp_model.evaluation.scores import places, summarise
from ssp_model.models.model_file import ModelInfo, load_model, save_model
from ssp_model.nn.methods.repmode import RepMode
from ssp_model.prediction.sliding_window import Windows, predict_volume

WINDOWS = PredictConfig(patch=None, overlap=0.5, flips="")


@pytest.fixture
def model(tmp_path):
    """A model that has learnt nothing."""
    info = ModelInfo(
        ("tom20", "zo1"), "repmode", {"width": 2}, (16, 16, 16), (0.3, 0.3, 0.3), {"scale": [1, 1, 1]}, {}, {}
    )
    save_model(RepMode(2, 2), info, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_scores_are_those_of_the_predictions(model, datasets, tmp_path):
    out = tmp_path / "zo1.csv"
    evaluate_structure(model, datasets["test"], "zo1", out, tmp_path / "images", "float32", WINDOWS, "all")
    rows = pd.read_csv(out)
    assert rows.path_czi.tolist() == ["data/zo1/4.czi", "data/zo1/5.czi"]
    network, _ = load_model(model)
    for row in rows.itertuples():
        signal, target, kept = tifffile.imread(tmp_path / "images" / row.file)
        predicted = predict_volume(network.specialise(1), signal, Windows((16, 16, 16)))
        np.testing.assert_allclose(kept, predicted, atol=1e-5)
        wanted = score(predicted, target)
        assert {name: getattr(row, name) for name in METRICS} == pytest.approx(wanted, rel=1e-3)
    assert not list((tmp_path / "images").glob("*.npy"))


def test_pictured_images_are_best_median_and_worst():
    assert places(pd.Series([0.4, 0.1, 0.3, 0.2, 0.5])) == ["", "worst", "median", "", "best"]
    assert places(pd.Series([0.4, 0.1, 0.3, 0.2]))[3] == "median"
    assert places(pd.Series([0.4, 0.1])) == ["best", "median"]
    assert places(pd.Series([0.4], index=[7])) == ["median"]


def test_whole_evaluation_and_composite(model, datasets, tmp_path):
    evaluate_model(model, datasets["test"], tmp_path / "out", "float32", WINDOWS, "pictured")
    images = pd.read_csv(tmp_path / "out/per_image.csv")
    assert images.structure.tolist() == ["tom20", "tom20", "zo1", "zo1"]
    for row in images.itertuples():
        assert (tmp_path / "out/images" / row.structure / row.file).exists()
    predict_composite(
        model, datasets["test"], tmp_path / "out/per_image.csv", tmp_path / "all.ome.tif", "float32", WINDOWS
    )
    with tifffile.TiffFile(tmp_path / "all.ome.tif") as tiff:
        assert tiff.series[0].shape == (3, 16, 20, 18)
        assert 'Name="zo1"' in tiff.ome_metadata


def scores_table(path, structure, values):
    table = pd.DataFrame(dict.fromkeys(METRICS, values))
    table.insert(0, "structure", structure)
    table["path_czi"], table["place"], table["file"] = "a.czi", "", ""
    table.to_csv(path, index=False)


def test_means_and_their_intervals(tmp_path):
    rng = np.random.default_rng(0)
    many, few = rng.normal(0.5, 0.1, 100), np.array([0.1, 0.2])
    scores_table(tmp_path / "many.csv", "many", many)
    scores_table(tmp_path / "few.csv", "few", few)
    outputs = [tmp_path / f"{name}.csv" for name in ("images", "structures", "overall")]
    summarise([tmp_path / "many.csv", tmp_path / "few.csv"], *outputs)
    structures = pd.read_csv(outputs[1]).set_index("structure")
    assert structures.r2["many"] == pytest.approx(many.mean())
    # the bootstrap interval of a mean is about two standard errors to each side
    half = 1.96 * many.std() / 10
    assert structures.r2_low["many"] == pytest.approx(many.mean() - half, abs=0.1 * half)
    assert structures.r2_high["many"] == pytest.approx(many.mean() + half, abs=0.1 * half)
    # two images say nothing of how much others would differ
    assert np.isnan(structures.r2_low["few"])
    overall = pd.read_csv(outputs[2]).set_index("mean_over")
    assert overall.r2["images"] == pytest.approx(np.concatenate([many, few]).mean())
    assert overall.r2["structures"] == pytest.approx((many.mean() + 0.15) / 2)
    assert overall.r2_low["images"] < overall.r2["images"] < overall.r2_high["images"]
    wide = overall.r2_high - overall.r2_low
    assert wide["structures"] > wide["images"]


def test_intervals_of_many_images_take_no_more_memory(tmp_path, monkeypatch):
    """Drawn in parts, the samples are those drawn at once."""
    scores_table(tmp_path / "many.csv", "many", np.random.default_rng(0).normal(0.5, 0.1, 60))
    tables = []
    for at_once in (60, 7):
        monkeypatch.setattr(scores, "IMAGES_AT_ONCE", at_once)
        outputs = [tmp_path / f"{name}-{at_once}.csv" for name in ("images", "structures", "overall")]
        summarise([tmp_path / "many.csv"], *outputs)
        tables.append(outputs[1].read_text())
    assert tables[0] == tables[1]


def test_undefined_correlations_stay_undefined(tmp_path):
    scores_table(tmp_path / "dna.csv", "dna", np.array([0.1, np.nan]))
    outputs = [tmp_path / f"{name}.csv" for name in ("images", "structures", "overall")]
    summarise([tmp_path / "dna.csv"], *outputs)
    assert pd.read_csv(outputs[1]).pearson.isna().all()
    flat = score(np.zeros((12, 12, 12), np.float32), np.random.default_rng(0).normal(size=(12, 12, 12)))
    assert np.isnan(flat["pearson"])


def test_another_voxel_size_or_unknown_structures_are_refused(model, datasets, tmp_path):
    arguments = (tmp_path / "zo1.csv", tmp_path / "images", "float32", WINDOWS, "all")
    with pytest.raises(InputError, match=r"has no image of golgi; it has tom20, zo1\."):
        evaluate_structure(model, datasets["test"], "golgi", *arguments)
    with h5py.File(datasets["test"], "a") as file:
        file.attrs["voxel_size_um"] = [0.3, 0.1, 0.1]
    with pytest.raises(InputError, match="voxels of 0.300 x 0.100 x 0.100 um .* trained at 0.300 x 0.300 x 0.300 um"):
        evaluate_structure(model, datasets["test"], "zo1", *arguments)
    with h5py.File(datasets["test"], "a") as file:
        file.attrs["voxel_size_um"] = [0.3, 0.3, 0.3]
        file["index/task"][0] = "golgi"
        file.attrs["tasks"] = ["golgi", "tom20", "zo1"]
    with pytest.raises(InputError, match="has samples of golgi, but the model predicts tom20, zo1 only"):
        evaluate_structure(model, datasets["test"], "zo1", *arguments)
    assert not any(path.exists() for path in arguments[:2])
