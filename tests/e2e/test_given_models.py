"""A model from a web server in the workflow: fetched once, and used again only if it is another one."""

import re
import shutil

import numpy as np
import pytest

from ssp_model.files import sha256_of
from ssp_model.images.ome_tiff import write_channels
from tests.helpers import GOLDEN, snakemake
from tests.httpserver import FileServer

pytestmark = pytest.mark.slow

MODEL = GOLDEN / "models/0.1.0/model.safetensors"


@pytest.fixture
def server(tmp_path, model):
    (tmp_path / "served/mirror").mkdir(parents=True)
    for place in ("", "mirror"):
        shutil.copy(MODEL, tmp_path / "served" / place)
    shutil.copy(model, tmp_path / "served/other.safetensors")
    with FileServer(tmp_path / "served") as server:
        yield server


@pytest.fixture
def predict(server, tmp_path):
    """Predict an image with a file of the server."""
    write_channels(
        tmp_path / "a.tif", [np.random.default_rng(0).normal(size=(6, 20, 24)).astype(np.float32)], ["light"], (1, 1, 1)
    )

    def predict(name: str, sha256: str, *arguments: str):
        address = f"{server.url(name)}#sha256={sha256}"
        config = {"experiment": "given", "evaluate": {"model": address}, "predict": {"images": ["a.tif"]}}
        return snakemake(tmp_path, config, "predict", *arguments)

    return predict


def jobs(ran) -> set[str]:
    assert ran.returncode == 0, ran.said
    return set(re.findall(r"^(\w+) +\d+$", ran.said.rpartition("Job stats:")[2], re.MULTILINE)) - {"total"}


def test_a_model_is_fetched_by_one_job_and_used_by_others(server, predict, tmp_path, model):
    sha256 = sha256_of(MODEL)
    ran = predict("model.safetensors", sha256)
    assert ran.returncode == 0, ran.said
    fetched = tmp_path / f"results/given_models/{sha256}/model.safetensors"
    assert sha256_of(fetched) == sha256
    assert [request.status for request in server.requests] == [200]
    assert (tmp_path / "results/predictions/given/seed-0/images.csv").exists()

    # neither a new date, nor another address, nor the lack of the file is a reason to predict again
    fetched.touch()
    assert "Nothing to be done" in predict("mirror/model.safetensors", sha256, "-n").said
    fetched.unlink()
    assert "Nothing to be done" in predict("model.safetensors", sha256, "-n").said

    # another checksum is
    planned = jobs(predict("other.safetensors", sha256_of(model), "-n"))
    assert planned == {"download_model", "predict_images", "list_predictions", "predict"}
    assert len(server.requests) == 1


def test_a_wrong_checksum_is_told_and_the_file_is_not_kept(server, predict, tmp_path, model):
    found, wanted = sha256_of(MODEL), sha256_of(model)
    ran = predict("model.safetensors", wanted)
    assert ran.returncode == 1
    assert f"{server.url('model.safetensors')} has SHA-256 {found}, not {wanted}; check the address" in ran.said
    assert "Traceback" not in ran.said
    assert not list((tmp_path / "results/given_models").rglob("*.safetensors*"))
