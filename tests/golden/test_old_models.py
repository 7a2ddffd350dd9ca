"""Model files of every released version open and predict as they did.

`python -m tests.golden.test_old_models VERSION` records a model of this version, before its release.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from ssp_model.models.model_file import load_model
from ssp_model.prediction.sliding_window import Windows, predict_volume, specialised
from tests.golden.test_loss_curve import CHANGES, train_tiny
from tests.helpers import GOLDEN

MODELS = GOLDEN / "models"


def predictions(model_path: Path, signal: np.ndarray) -> dict[str, np.ndarray]:
    """What a model file predicts, by structure, (Z, Y, X)."""
    model, info = load_model(model_path)
    windows = Windows(info.patch)
    return {
        structure: np.asarray(predict_volume(specialised(model, task), signal, windows))
        for task, structure in enumerate(info.structures)
    }


@pytest.mark.parametrize("folder", sorted(MODELS.iterdir()), ids=lambda folder: folder.name)
def test_model_predicts_as_when_it_was_released(folder):
    with np.load(folder / "predictions.npz") as arrays:
        wanted = dict(arrays)
    found = predictions(folder / "model.safetensors", wanted.pop("signal"))
    assert list(found) == list(wanted)
    for structure, prediction in wanted.items():
        np.testing.assert_allclose(found[structure], prediction, atol=1e-4 * prediction.std())


if __name__ == "__main__":
    release = MODELS / sys.argv[1]
    release.mkdir(parents=True)
    CHANGES["model"]["width"] = 1
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(train_tiny(Path(folder)) / "model.safetensors", release)
    signal = np.random.default_rng(0).normal(size=(18, 40, 33)).astype(np.float32)
    np.savez_compressed(
        release / "predictions.npz", signal=signal, **predictions(release / "model.safetensors", signal)
    )
