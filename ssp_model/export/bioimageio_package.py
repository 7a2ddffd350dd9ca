"""Write a trained model as a package of bioimage.io (specification 0.5): one input, an output for each structure.

A package holds the networks twice, as ONNX and as TorchScript, so that programs with either can run it. One package may
hold several structures: they share the input, the test image and the description, and a program gets all of them in one
run. Each structure adds its own weights, so a package of one structure is the smallest.

Before the network the image is standardised. Not in the package: the change to the model's voxel size. The axes of the
input say which voxel size they want.
"""

import keyword
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from bioimageio.spec import save_bioimageio_package
from bioimageio.spec.model import v0_5 as spec
from pydantic import TypeAdapter, ValidationError
from torch import nn

from ssp_model.errors import InputError
from ssp_model.export.onnx_file import OPSET, SIGNAL, Outputs, check_onnx, standardise, write_onnx
from ssp_model.files import replacing
from ssp_model.models.card import About
from ssp_model.models.model_file import ModelInfo
from ssp_model.nn.unet import STRIDE
from ssp_model.scratch import scratch_folder

logger = logging.getLogger(__name__)

PAPER = spec.CiteEntry(
    text="Zhou et al.: RepMode: Learning to Re-parameterize Diverse Experts for Subcellular Structure Prediction. CVPR "
    "2023.",
    url=spec.HttpUrl("https://arxiv.org/abs/2212.10066"),
)
"""What the network, the training and the windows are from, for all methods."""

TAGS = ("3d", "fluorescence-light-microscopy", "transmitted-light", "image-to-image", "label-free")

VALIDATION = """
## Validation

To score the model on other images, make a dataset of them with targets, and run `ssp evaluate` of ssp-model with the
model file that this package was made from.
"""


@dataclass(frozen=True)
class Texts:
    """What a package says in words.

    Attributes
    ----------
    name : str
    about : About
        What only a person knows: summary, authors, licence, dataset.
    documentation : str
        Markdown.
    cover : path
        Picture, PNG.
    """

    name: str
    about: About
    documentation: str
    cover: Path


def write_package(
    networks: Mapping[str, nn.Module],
    path: Path,
    *,
    info: ModelInfo,
    raw: np.ndarray,
    texts: Texts,
    metadata: Mapping[str, str],
) -> float:
    """Write networks as one package (ZIP).

    Parameters
    ----------
    networks : mapping
        By structure the network that predicts it, on the CPU, in evaluation mode: (N, 1, Z, Y, X) to the same shape.
    path : path
        File to write, `.zip`.
    info : ModelInfo
        Of the model.
    raw : ndarray
        Image for the test: raw intensities at the model's voxel size, (Z, Y, X), with sizes that are multiples of 16
        and at least the model's patch.
    texts : Texts
    metadata : mapping
        What the ONNX file says of itself.

    Returns
    -------
    float
        The largest difference between ONNX Runtime and torch on the image, relative to the spread of the prediction.

    Raises
    ------
    InputError
        This difference is too large, or bioimage.io does not take a text or a name.
    """
    # what is refused is refused before the work
    ids = tensor_ids(list(networks))
    words = described(texts.name, list(networks), texts.about)
    with scratch_folder("ssp-export") as folder, warnings.catch_warnings():
        # of torch, about TorchScript, and of bioimage.io, about optional entries
        warnings.simplefilter("ignore")
        onnx_file, *data = write_onnx(networks, Path(folder, "model.onnx"), metadata)
        signal = np.asarray(raw, np.float32)[None, None]
        standardised = standardise(signal)
        difference = check_onnx(onnx_file, networks, standardised)
        script = Path(folder, "model.torchscript")
        traced = torch.jit.trace(Outputs(networks), torch.from_numpy(standardised), check_trace=False)
        torch.jit.save(torch.jit.freeze(traced.eval()), script)
        np.save(Path(folder, "signal.npy"), signal)
        with torch.inference_mode():
            for structure, network in networks.items():
                np.save(Path(folder, f"{ids[structure]}.npy"), network(torch.from_numpy(standardised)).numpy())
        readme = Path(folder, "README.md")
        readme.write_text(texts.documentation + VALIDATION, encoding="utf-8")
        try:
            model = spec.ModelDescr(
                **words,
                cite=[PAPER],
                documentation=spec.FileDescr(source=readme),
                covers=[spec.FileDescr(source=texts.cover)],
                tags=[*TAGS, info.method],
                inputs=[input_of(info, Path(folder, "signal.npy"))],
                outputs=[output_of(info, structure, id_, Path(folder, f"{id_}.npy")) for structure, id_ in ids.items()],
                weights=spec.WeightsDescr(
                    onnx=spec.OnnxWeightsDescr(
                        source=onnx_file,
                        opset_version=OPSET,
                        external_data=spec.FileDescr(source=data[0]) if data else None,
                    ),
                    torchscript=spec.TorchscriptWeightsDescr(
                        source=script, pytorch_version=torch.__version__.partition("+")[0], parent="onnx"
                    ),
                ),
                config=spec.Config(ssp_model=dict(metadata)),
            )
        except ValidationError as error:
            reasons = "; ".join(it["msg"].removeprefix("Value error, ") for it in error.errors())
            raise InputError(f"bioimage.io refuses the package: {reasons}") from None
        with replacing(path) as temporary:
            save_bioimageio_package(model, output_path=temporary)
    return difference


def described(name: str, structures: Sequence[str], about: About) -> dict[str, Any]:
    """Return name, description, authors and licence of a package, from what a person told.

    Raises
    ------
    InputError
        bioimage.io does not take one of them.
    """
    summary = about.summary or "A 3D U-Net that predicts fluorescence from transmitted light."
    data = f" Trained on {about.dataset.name}." if about.dataset and about.dataset.name else ""
    values: dict[str, Any] = {
        "name": name,
        "description": f"{summary} Structures: {', '.join(structures)}.{data}",
        "authors": [spec.Author(name=author) for author in about.authors],
    }
    if about.license:
        values["license"] = about.license
    missing = [key for key, told in (("authors", about.authors), ("license", about.license)) if not told]
    if missing:
        logger.warning("bioimage.io asks for %s of a model; give them in the file of --about", " and ".join(missing))
    for key, value in values.items():
        # a check of the whole names no key that a user would know
        field = spec.ModelDescr.model_fields[key]
        try:
            TypeAdapter(Annotated[field.annotation, *field.metadata]).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].replace("items after validation", "characters")
            raise InputError(
                f"bioimage.io does not take {value!r} as {key} of a model ({reason}); give another in the file of "
                "--about."
            ) from None
    return values


def tensor_ids(structures: Sequence[str]) -> dict[str, str]:
    """Return what bioimage.io calls the outputs: lower case, letters, digits and _ only, at most 32 characters.

    Raises
    ------
    InputError
        Two would have the same name.
    """
    structure_of = {SIGNAL: SIGNAL}
    for structure in structures:
        name = re.sub("[^a-z0-9_]", "_", structure.lower())
        # a program in Python takes it for a name
        if not name.isidentifier() or not name.islower() or keyword.iskeyword(name):
            name = f"structure_{name}"
        if other := structure_of.get(name[:32]):
            raise InputError(
                f"In a package of bioimage.io, {other} and {structure} would both be called {name[:32]}; export each "
                "in a package of its own."
            )
        structure_of[name[:32]] = structure
    return {structure: name for name, structure in structure_of.items() if name != SIGNAL}


def sizes_of(info: ModelInfo) -> list[tuple[str, int, float | None]]:
    """Return for each axis, Z, Y, X: its name, the smallest size, and the voxel size in um."""
    sizes = info.voxel_size_um or (None, None, None)
    return list(zip("zyx", info.patch, sizes, strict=True))


def input_of(info: ModelInfo, test: Path) -> spec.InputTensorDescr:
    """Describe the input: raw transmitted light, any size from the patch on in steps of 16."""
    axes = [
        spec.SpaceInputAxis(
            id=axis,
            size=spec.ParameterizedSize(min=smallest, step=STRIDE),
            unit="micrometer" if size else None,
            scale=size or 1.0,
        )
        for axis, smallest, size in sizes_of(info)
    ]
    standardising = spec.ZeroMeanUnitVarianceDescr(
        kwargs=spec.ZeroMeanUnitVarianceKwargs(axes=["channel", "z", "y", "x"], eps=1e-12)
    )
    return spec.InputTensorDescr(
        id=SIGNAL,
        description="Transmitted-light image, raw intensities.",
        axes=[spec.BatchAxis(), spec.ChannelAxis(channel_names=["transmitted_light"]), *axes],
        data=spec.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=spec.FileDescr(source=test),
        preprocessing=[standardising],
    )


def output_of(info: ModelInfo, structure: str, id_: str, test: Path) -> spec.OutputTensorDescr:
    """Describe the output of a structure. Tiles should overlap by half: a halo of a quarter of the patch."""
    axes = [
        spec.SpaceOutputAxisWithHalo(
            id=axis,
            size=spec.SizeReference(tensor_id=SIGNAL, axis_id=axis),
            halo=smallest // 4,
            unit="micrometer" if size else None,
            scale=size or 1.0,
        )
        for axis, smallest, size in sizes_of(info)
    ]
    return spec.OutputTensorDescr(
        id=id_,
        description=f"Predicted fluorescence of {structure}, standardised (mean 0, standard deviation 1).",
        axes=[spec.BatchAxis(), spec.ChannelAxis(channel_names=[structure]), *axes],
        data=spec.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=spec.FileDescr(source=test),
    )
