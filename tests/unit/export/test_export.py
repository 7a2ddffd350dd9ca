"""`ssp export`: choice of structures, test image, files whole or not at all, and the sliding window of the docs."""

import json
import re
import zipfile

import numpy as np
import onnxruntime
import pytest
import tifffile
import torch
from bioimageio.core import test_description as run_their_test
from bioimageio.spec import load_model_description

from ssp_model import Predictor
from ssp_model.errors import InputError
from ssp_model.export.bioimageio_package import described
from ssp_model.export.export import export_onnx, export_package, middle_of, plain_name, prepare_export, simulated
from ssp_model.models.authors import import_checkpoint
from ssp_model.models.card import About
from ssp_model.models.model_file import save_model
from ssp_model.nn.methods import METHODS, method_class
from ssp_model.report.model_card import default_title
from tests.helpers import PROJECT, random_network
from tests.unit.export.examples import info_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(random_network("repmode", 3, seed=1, width=4), info_of("repmode"), path)
    return path


@pytest.fixture(scope="module")
def exported(model):
    path = model.with_name("two.onnx")
    export_onnx(prepare_export(model, ("zo1", "dna", "zo1")), path)
    return path


def test_structures_are_outputs_in_the_order_of_the_model(exported):
    session = onnxruntime.InferenceSession(exported)
    assert [output.name for output in session.get_outputs()] == ["dna", "zo1"]
    assert json.loads(session.get_modelmeta().custom_metadata_map["ssp_model.structures"]) == ["dna", "zo1"]
    assert [path.name for path in exported.parent.glob(".part*")] == []


def code_of_the_docs():
    text = (PROJECT / "docs/export.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    namespace = {}
    exec(code, namespace)
    return namespace["predict"]


@pytest.mark.parametrize("shape", [(16, 32, 48), (20, 50, 60), (9, 40, 30)])
def test_the_sliding_window_of_the_docs_is_the_predictors(model, exported, shape):
    signal = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    signal = (signal - signal.mean()) / signal.std()
    predictor = Predictor(model, precision="float32")
    wanted = predictor.predict(signal, ("dna", "zo1"), voxel_size_um=(0.29, 0.29, 0.29), grid="model")
    found = code_of_the_docs()(exported, signal)
    assert list(found) == ["dna", "zo1"]
    for name, prediction in found.items():
        assert np.abs(prediction - wanted[name]).max() <= 1e-4 * wanted[name].std()


def test_a_package_has_card_cover_and_a_piece_of_the_image(model, tmp_path):
    image = np.random.default_rng(0).integers(100, 4000, (16, 32, 48), np.uint16)
    tifffile.imwrite(tmp_path / "cells.ome.tif", image, metadata={"axes": "ZYX"} | SIZES)
    about = tmp_path / "about.yaml"
    about.write_text("name: Nuclei\nauthors: [Ada Test]\nlicense: CC-BY-4.0\n")
    out = tmp_path / "new folder" / "dna.zip"
    export_package(prepare_export(model, ("dna",), tmp_path / "cells.ome.tif"), out, about=about)
    with zipfile.ZipFile(out) as package:
        assert "# Nuclei" in package.read("README.md").decode()
        assert package.read("cover.png").startswith(b"\x89PNG")
        with package.open("signal.npy") as file:
            assert np.load(file)[0, 0] == pytest.approx(image, abs=0.5)
    assert [path.name for path in out.parent.iterdir()] == ["dna.zip"]


def test_an_imported_checkpoint_of_the_authors_passes_the_test_of_bioimageio(checkpoint, tmp_path, monkeypatch):
    # theirs tries images of this size and larger
    monkeypatch.setattr("ssp_model.models.authors.PUBLISHED_PATCH", (16, 16, 16))
    torch.save(checkpoint, tmp_path / "model_best.p")
    import_checkpoint(tmp_path / "model_best.p", tmp_path / "model.safetensors")
    export_package(prepare_export(tmp_path / "model.safetensors"), tmp_path / "all.zip")
    for weights in ("onnx", "torchscript"):
        summary = run_their_test(tmp_path / "all.zip", weight_format=weights)
        assert summary.status == "passed", summary.format()
    outputs = load_model_description(tmp_path / "all.zip").outputs
    assert [output.id for output in outputs] == ["dna", "tom20", "zo1"]


SIZES = {f"PhysicalSize{axis}": 0.29 for axis in "XYZ"} | {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"}


def test_the_middle_of_an_image_is_as_large_as_the_patch(tmp_path, caplog):
    image = np.zeros((40, 20, 100), np.uint16)
    image[12:28, :, 26:74] = np.random.default_rng(0).integers(100, 4000, (16, 20, 48))
    tifffile.imwrite(tmp_path / "cells.ome.tif", image, metadata={"axes": "ZYX"} | SIZES)
    middle = middle_of(tmp_path / "cells.ome.tif", None, info_of("repmode"))
    assert middle.shape == (16, 32, 48)
    assert "is smaller than a window of the model (40 x 20 x 100 voxels, 16 x 32 x 48 are wanted)" in caplog.text
    # along Y
    assert middle[:, 6:26] == pytest.approx(image[12:28, :, 26:74], abs=0.5)


def test_the_title_of_each_method_can_be_the_name_of_a_package():
    for method in METHODS:
        title = default_title(method_class(method).title, {"experiment": "a" * 100, "seed": 2**32 - 1})
        name = described(plain_name(title), ("dna",), About())["name"]
        assert " aaaaaaaa" in name


@pytest.mark.parametrize("noise", [0, 0.01])
def test_an_image_that_is_constant_in_its_middle_is_refused(tmp_path, noise):
    image = np.full((20, 64, 96), 100, np.float32)
    image[:, :10] = np.random.default_rng(0).normal(2000, 500, (20, 10, 96))
    image[:, 10:] += np.random.default_rng(1).normal(0, noise, (20, 54, 96))
    tifffile.imwrite(tmp_path / "cells.ome.tif", image, metadata={"axes": "ZYX"} | SIZES)
    with pytest.raises(InputError, match=r"cells\.ome\.tif is constant in its middle \(16 x 32 x 48 voxels at the"):
        middle_of(tmp_path / "cells.ome.tif", None, info_of("repmode"))


def test_a_simulated_image_has_the_size_of_the_patch():
    image = simulated(info_of("repmode"))
    assert image.shape == (16, 32, 48)
    assert image.std() > 1


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(model, tmp_path):
    export = prepare_export(model, ("dna",))
    with pytest.raises(InputError, match=r"must end with \.onnx"):
        export_onnx(export, tmp_path / "dna.zip")
    with pytest.raises(InputError, match=r"must end with \.zip"):
        export_package(export, tmp_path / "dna.onnx")
    with pytest.raises(InputError, match="does not predict 'golgi'"):
        prepare_export(model, ("golgi",))
    (tmp_path / "broken.safetensors").write_bytes(model.read_bytes()[:-100])
    with pytest.raises(InputError, match="can't be read as a model file"):
        prepare_export(tmp_path / "broken.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.safetensors"]


def test_a_wrong_result_gets_no_name(model, tmp_path, monkeypatch):
    monkeypatch.setattr("ssp_model.export.onnx_file.TOLERANCE", 0.0)
    with pytest.raises(InputError, match="does not compute what torch does"):
        export_onnx(prepare_export(model, ("dna",)), tmp_path / "dna.onnx")
    assert list(tmp_path.iterdir()) == []
