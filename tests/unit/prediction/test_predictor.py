"""Structures predicted in whole images, from Python."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ssp_model import Predictor
from ssp_model.data.preprocess import to_model_voxels
from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import write_channels
from ssp_model.images.reader import open_file
from ssp_model.prediction.grid import on_image_grid
from tests.helpers import PROJECT, image_of
from tests.textures import texture, told_of

RAW = np.random.default_rng(0).normal(100, 5, size=(9, 20, 40)).astype(np.float32)
SIZES = (0.6, 0.3, 0.15)
"""Twice the model's size in Z, half of it in X."""


@pytest.fixture
def predictor(model) -> Predictor:
    return Predictor(model, precision="float32", device="cpu")


def test_the_package_imports_it_when_it_is_used():
    code = "import sys, ssp_model\nassert 'torch' not in sys.modules\nfrom ssp_model import Predictor\nprint(Predictor)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ssp_model.prediction.predictor.Predictor" in ran.stdout
    with pytest.raises(ImportError, match="Predictr"):
        from ssp_model import Predictr  # noqa: F401


def test_an_array_is_predicted_at_the_models_voxels_and_brought_back(predictor):
    signal, _ = to_model_voxels(image_of(RAW), 0, (2, 1, 0.5))
    done = []
    predicted = predictor.predict(RAW, voxel_size_um=SIZES, grid="model", advance=done.append)
    assert list(predicted) == ["tom20", "zo1"]
    for structure, volume in predicted.items():
        assert (volume.shape, volume.dtype) == ((18, 20, 20), np.float32)
        np.testing.assert_allclose(volume, predictor.predict_signal(signal, structure), atol=1e-6)
    assert sum(done) == 2 * signal.size
    on_grid = predictor.predict(RAW, ["zo1"], voxel_size_um=SIZES)["zo1"]
    assert on_grid.shape == RAW.shape
    np.testing.assert_allclose(on_grid, np.stack(list(on_image_grid(predicted["zo1"], RAW.shape))), atol=1e-6)


def test_an_image_that_is_unlike_the_training_images_gives_a_warning(predictor, caplog):
    predictor.info = replace(predictor.info, signals=told_of([texture(seed) for seed in range(6)]))
    predictor.predict(texture(100), ["zo1"], voxel_size_um=(0.3, 0.3, 0.3))
    assert caplog.messages == []
    predictor.predict(-texture(100), ["zo1"], voxel_size_um=(0.3, 0.3, 0.3))
    (warning,) = caplog.messages
    assert warning.startswith("the array is unlike the training images")


def test_a_file_is_predicted_as_its_array(predictor, tmp_path):
    write_channels(tmp_path / "a.ome.tif", [RAW[::-1], RAW], ["dna", "light"], SIZES)
    wanted = predictor.predict(RAW, ["tom20"], voxel_size_um=SIZES)["tom20"]
    for image in (tmp_path / "a.ome.tif", str(tmp_path / "a.ome.tif"), open_file(tmp_path / "a.ome.tif").image()):
        np.testing.assert_array_equal(predictor.predict(image, ["tom20"], channel="light")["tom20"], wanted)
    with pytest.raises(InputError, match=r"a.ome.tif has several channels \(0 dna, 1 light\); give that of the trans"):
        predictor.predict(tmp_path / "a.ome.tif")


def test_parts_are_the_whole_prediction(predictor):
    whole = predictor.predict(RAW, ["zo1"], voxel_size_um=SIZES, grid="model")["zo1"]
    covered = np.zeros(whole.shape, int)
    for place, part in predictor.predict_parts(RAW, "zo1", voxel_size_um=SIZES):
        np.testing.assert_allclose(part, whole[place], atol=1e-6)
        covered[place] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.full((4, 5, 6), 7), "is constant"),
        (np.where(RAW > 110, np.nan, RAW), "not finite numbers"),
        (RAW.astype(complex), "holds complex128 numbers"),
    ],
)
def test_arrays_that_can_not_be_predicted(predictor, array, sentence):
    with pytest.raises(InputError, match=f"^the array .*{sentence}"):
        predictor.predict(array, voxel_size_um=SIZES)


def test_an_unknown_structure_is_told_before_anything_is_read(predictor):
    with pytest.raises(InputError, match="does not predict 'golgi'"):
        predictor.predict("missing.czi", ["golgi"])


def test_the_time_of_a_window_and_the_memory_are_known(predictor):
    assert predictor.seconds_a_window > 0
    assert predictor.window_bytes > 4 * 16**3
    assert len(predictor.sha256) == 64


def test_the_examples_of_the_docs_run(model, tmp_path, monkeypatch, capsys):
    page = (PROJECT / "docs/python.md").read_text()
    monkeypatch.chdir(tmp_path)
    write_channels(tmp_path / "stack.ome.tif", [RAW[::-1], RAW], ["dna", "light"], SIZES)
    examples = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    exec(compile(examples, "docs/python.md", "exec"), {})
    said = capsys.readouterr().out
    assert "tom20 (20, 64, 72) float32" in said
    assert "stack.ome.tif done predictions/stack.ome.tif" in said
