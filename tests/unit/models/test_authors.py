"""Import of the authors' checkpoints."""

import argparse
import os

import numpy as np
import pytest
import torch

from ssp_model.errors import InputError
from ssp_model.models.authors import import_checkpoint
from ssp_model.models.model_file import load_model


class RunsCode:
    """What a pickle can do to whoever opens it."""

    def __reduce__(self):
        return os.mkdir, ("code-was-run",)


def test_imported_model_predicts_the_same(checkpoint, golden, tmp_path):
    torch.save(checkpoint, tmp_path / "model_best.p")
    import_checkpoint(tmp_path / "model_best.p", tmp_path / "model.safetensors")
    model, info = load_model(tmp_path / "model.safetensors")
    assert info.structures == ("dna", "tom20", "zo1")
    assert (info.method, info.settings, info.patch) == ("repmode", {"width": 2}, (32, 128, 128))
    vectors = golden("repmode_tiny.npz")
    with torch.inference_mode():
        for task in range(3):
            y = model.specialise(task)(torch.from_numpy(vectors["x"])).numpy()
            wanted = vectors[f"eval_out/task{task}"]
            assert np.linalg.norm(y - wanted) <= 1e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"opts": RunsCode()}, "can't be read safely"),
        ({"nn_module": "CondNet"}, "holds 'CondNet', wanted is a checkpoint of RepMode"),
        ({"opts": argparse.Namespace(adopted_datasets=["dna"])}, "names 1 structures, but its network has 3 tasks"),
    ],
)
def test_other_files_are_refused(checkpoint, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    torch.save(checkpoint | change, "model_best.p")
    with pytest.raises(InputError, match=message):
        import_checkpoint("model_best.p", "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model_best.p"]


def test_not_a_checkpoint(tmp_path):
    (tmp_path / "model_best.p").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="can't be read safely"):
        import_checkpoint(tmp_path / "model_best.p", tmp_path / "model.safetensors")
