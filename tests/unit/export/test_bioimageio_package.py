import zipfile

import numpy as np
import onnxruntime
import pytest
import torch
from bioimageio.core import test_description as run_their_test
from bioimageio.spec import load_model_description
from bioimageio.spec.model import v0_5 as spec

from ssp_model.errors import InputError
from ssp_model.export.bioimageio_package import Texts, described, tensor_ids, write_package
from ssp_model.export.onnx_file import metadata_of, standardise
from ssp_model.models.card import About, DatasetAbout
from ssp_model.nn.methods import METHODS
from tests.helpers import random_network
from tests.unit.export.examples import STRUCTURES, info_of

ABOUT = About(
    summary="Predicts nuclei.", authors=("Ada Test",), license="CC-BY-4.0", dataset=DatasetAbout(name="Test cells")
)


@pytest.fixture(scope="module")
def raw():
    return np.random.default_rng(0).normal(1000, 50, (16, 32, 48)).astype(np.float32)


def packaged(folder, method, structures, raw):
    """The package of a random network, and its plain networks."""
    # of this seed no network is all but dead
    network = random_network(method, 3, seed=1, width=4)
    networks = {name: network.specialise(STRUCTURES.index(name)) for name in structures}
    cover = folder / "cover.png"
    cover.write_bytes(PNG)
    texts = Texts("Nuclei (test)", ABOUT, "# Nuclei\n", cover)
    info = info_of(method)
    path = folder / "model.zip"
    metadata = metadata_of(info, list(networks), "0" * 64)
    assert write_package(networks, path, info=info, raw=raw, texts=texts, metadata=metadata) < 1e-4
    return path, networks


@pytest.mark.parametrize("method", METHODS)
def test_both_kinds_of_weights_predict_what_the_model_does(method, tmp_path, raw):
    path, networks = packaged(tmp_path, method, ("tom20",), raw)
    (network,) = networks.values()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "package")
    session = onnxruntime.InferenceSession(tmp_path / "package" / "model.onnx")
    script = torch.jit.load(tmp_path / "package" / "model.torchscript")
    torch.manual_seed(0)
    for shape in ((1, 1, 16, 16, 16), (3, 1, 32, 16, 48)):
        x = torch.randn(shape)
        with torch.inference_mode():
            wanted = network(x)
            largest = 1e-4 * max(float(wanted.std()), 0.01)
            assert (script(x) - wanted).abs().max() <= largest
        (found,) = session.run(None, {"signal": x.numpy()})
        assert np.abs(found - wanted.numpy()).max() <= largest


@pytest.fixture(scope="module")
def package(tmp_path_factory, raw):
    return packaged(tmp_path_factory.mktemp("package"), "repmode", ("dna",), raw)


def test_it_passes_the_test_of_bioimageio(package):
    summary = run_their_test(package[0], weight_format="onnx")
    assert summary.status == "passed", summary.format()
    assert run_their_test(package[0], weight_format="torchscript").status == "passed"


def test_it_describes_itself(package, raw):
    model = load_model_description(package[0])
    (signal,), (dna,) = model.inputs, model.outputs
    assert [axis.id for axis in signal.axes] == ["batch", "channel", "z", "y", "x"]
    assert [(axis.size.min, axis.size.step) for axis in signal.axes[2:]] == [(16, 16), (32, 16), (48, 16)]
    assert [(axis.scale, axis.unit) for axis in signal.axes[2:]] == [(0.29, "micrometer")] * 3
    assert [axis.halo for axis in dna.axes[2:]] == [4, 8, 12]
    assert "zero_mean_unit_variance" in [step.id for step in signal.preprocessing]
    assert [author.name for author in model.authors] == ["Ada Test"]
    assert (model.license, model.name) == ("CC-BY-4.0", "Nuclei (test)")
    assert "dna" in model.description
    assert "Test cells" in model.description
    with zipfile.ZipFile(package[0]) as archive, archive.open("signal.npy") as file:
        assert np.array_equal(np.load(file)[0, 0], raw)


def test_the_test_output_is_the_models(package, raw):
    path, networks = package
    with torch.inference_mode():
        wanted = networks["dna"](torch.from_numpy(standardise(raw))[None, None])
    with zipfile.ZipFile(path) as archive, archive.open("dna.npy") as file:
        assert np.array_equal(np.load(file), wanted)


def test_what_bioimageio_does_not_take_is_refused():
    with pytest.raises(InputError, match="bioimage.io does not take 'my own' as license of a model"):
        described("Nuclei", ("dna",), About(license="my own"))
    with pytest.raises(InputError, match="as name of a model"):
        described("nuclei <3", ("dna",), ABOUT)
    with pytest.raises(InputError, match=r"should have at least 5 characters, not 3\); give another in the file"):
        described("dna", ("dna",), ABOUT)


def test_a_network_that_predicts_nothing_is_no_package(tmp_path, raw):
    dead = torch.nn.Conv3d(1, 1, 3, padding=1)
    torch.nn.init.zeros_(dead.weight)
    torch.nn.init.zeros_(dead.bias)
    cover = tmp_path / "cover.png"
    cover.write_bytes(PNG)
    with pytest.raises(InputError, match="bioimage.io refuses the package: Output values are too small"):
        write_package(
            {"dna": dead},
            tmp_path / "model.zip",
            info=info_of("repmode"),
            raw=raw,
            texts=Texts("Nothing", ABOUT, "# Nothing\n", cover),
            metadata={},
        )
    assert not (tmp_path / "model.zip").exists()


def test_outputs_have_names_that_bioimageio_takes():
    """All that a config takes for the name of a structure."""
    ids = tensor_ids(["H2B-GFP", "dna", "488", "class", "membrane_" * 5])
    assert list(ids.values()) == [
        "h2b_gfp",
        "dna",
        "structure_488",
        "structure_class",
        "membrane_membrane_membrane_membr",
    ]
    for name in ids.values():
        assert spec.TensorId(name) == name
    with pytest.raises(InputError, match="nuclei-a and Nuclei_A would both be called nuclei_a; export each in a"):
        tensor_ids(["nuclei-a", "Nuclei_A"])
    with pytest.raises(InputError, match="signal and Signal would both be called signal"):
        tensor_ids(["Signal"])


def test_what_is_unknown_is_told(caplog):
    assert "license" not in described("Nuclei", ("dna",), About())
    assert "bioimage.io asks for authors and license of a model" in caplog.text


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000002000000010802000000"
    "7b40e8dd0000000c49444154789c636060600000000400012734270a0000000049454e44ae426082"
)
"""A picture of two black pixels."""
