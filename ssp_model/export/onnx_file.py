"""Write trained networks as an ONNX file, and run it.

The file has one input, `signal`, and an output for each structure, named after it; all are (N, 1, Z, Y, X), float32,
with any N and with Z, Y and X that are multiples of 16. An output is what the plain network of the structure computes.

Not in the file: what comes before and after the network (voxel size, standardising, windows). The file's metadata says
it in words and numbers.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxscript import FLOAT, opset20
from torch import Tensor, nn
from torch.export import Dim

from ssp_model.errors import InputError
from ssp_model.models.model_file import ModelInfo
from ssp_model.nn.unet import STRIDE
from ssp_model.prediction.sliding_window import Windows

OPSET = 20
"""Version of the ONNX operators."""
SIGNAL = "signal"
"""Name of the input."""
TOLERANCE = 1e-4
"""The largest difference between ONNX Runtime and torch, relative to the standard deviation of the prediction."""
SMALLEST_SPREAD = 0.01
"""Differences are relative to at least this: targets have a standard deviation of 1, and far below it is rounding."""
MOST_BYTES = 2**31 - 2**20
"""An ONNX file can't be larger than 2 GiB; the weights of a larger network lie in a second file beside it."""


def standardise(raw: np.ndarray) -> np.ndarray:
    """Subtract the mean and divide by the standard deviation; float32."""
    return ((raw - raw.mean(dtype=np.float64)) / raw.std(dtype=np.float64)).astype(np.float32)


class Outputs(nn.Module):
    """Networks that see the same input, one for each structure: one output, or several."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks.values())

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Predict (N, 1, D, H, W) for each structure from the same shape."""
        predicted = tuple(network(x) for network in self.networks)
        return predicted[0] if len(predicted) == 1 else predicted


def write_onnx(networks: Mapping[str, nn.Module], path: Path, metadata: Mapping[str, str]) -> list[Path]:
    """Write networks as one ONNX file.

    Parameters
    ----------
    networks : mapping
        By structure the network that predicts it, on the CPU, in evaluation mode: (N, 1, Z, Y, X) to the same shape.
    path : path
        File to write. If the weights take more than 2 GiB, they are in `{path}.data` beside it.
    metadata : mapping
        What the file says of itself: texts by key.

    Returns
    -------
    list of path
        The files that were written.
    """
    network = Outputs(networks).eval()
    # of two samples, as torch takes a size of one for fixed
    x = torch.zeros(2, 1, 2 * STRIDE, 3 * STRIDE, 4 * STRIDE)
    depth, height, width = (STRIDE * Dim(f"{axis}_in_steps_of_{STRIDE}", min=1, max=2**16) for axis in "zyx")
    with warnings.catch_warnings(), quiet(logging.getLogger("torch.onnx")):
        # of torch, about itself
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (x,),
            input_names=[SIGNAL],
            output_names=list(networks),
            dynamic_shapes=({0: Dim("batch"), 2: depth, 3: height, 4: width},),
            opset_version=OPSET,
            custom_translation_table={torch.ops.aten.group_norm.default: instance_norm},
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(metadata)
    num_bytes = sum(weight.numel() * weight.element_size() for weight in network.state_dict().values())
    program.save(path, external_data=num_bytes > MOST_BYTES)
    return [path, *(data for data in [path.with_name(f"{path.name}.data")] if data.exists())]


@contextmanager
def quiet(logger: logging.Logger) -> Iterator[None]:
    """Let a logger tell of errors only: torch warns of packages that nothing here needs."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def instance_norm(  # noqa: PLR0917 the arguments are those of torch
    x: FLOAT,
    groups: int,
    weight: FLOAT | None = None,
    bias: FLOAT | None = None,
    eps: float = 1e-5,
    cudnn: bool = True,  # noqa: FBT001, FBT002
) -> FLOAT:
    """Normalise each channel of each sample, as torch does (a group norm with a group for each channel).

    The sums go axis by axis. ONNX Runtime's own instance norm sums all voxels one after the other in float32, which is
    wrong by a percent for a million voxels.
    """
    mean = opset20.ReduceMean(opset20.ReduceMean(opset20.ReduceMean(x, [4]), [3]), [2])
    centred = opset20.Sub(x, mean)
    square = opset20.Mul(centred, centred)
    variance = opset20.ReduceMean(opset20.ReduceMean(opset20.ReduceMean(square, [4]), [3]), [2])
    return opset20.Div(centred, opset20.Sqrt(opset20.Add(variance, opset20.Constant(value_float=eps))))


def metadata_of(info: ModelInfo, structures: Sequence[str], model_sha256: str) -> dict[str, str]:
    """Return what an ONNX file says of itself: where it is from, and what belongs before and after the network."""
    entries: dict[str, Any] = {
        "structures": structures,
        "method": info.method,
        "voxel_size_um_zyx": info.voxel_size_um,
        "size_step_zyx": [STRIDE] * 3,
        "window_zyx": info.patch,
        "window_overlap": Windows(info.patch).overlap,
        "preprocessing": info.normalisation + "; the image must have the voxel size `voxel_size_um_zyx`",
        "output": "standardised fluorescence: a mean of 0 and a standard deviation of 1 in the training images",
        "training": info.training,
        "model_sha256": model_sha256,
        "ssp_model_version": info.version,
    }
    return {
        f"ssp_model.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in entries.items()
    }


class OnnxNetwork:
    """An ONNX file, run by ONNX Runtime on the CPU.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Predict each structure, (N, 1, Z, Y, X), float32, from the same shape."""
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, {SIGNAL: x}), strict=True))


@torch.inference_mode()
def check_onnx(path: Path, networks: Mapping[str, nn.Module], x: np.ndarray) -> float:
    """Compare what ONNX Runtime computes from a file with what torch computes, for one input, (N, 1, Z, Y, X).

    Returns
    -------
    float
        The largest difference of a structure, relative to the standard deviation of its prediction.

    Raises
    ------
    InputError
        It is more than `TOLERANCE`, or the networks predict what is not a number.
    """
    onnx.checker.check_model(path)
    differences = []
    for structure, found in OnnxNetwork(path)(x).items():
        wanted = networks[structure](torch.from_numpy(x)).numpy()
        if not np.isfinite(wanted).all():
            raise InputError(
                f"The model predicts values of {structure} that are not finite numbers, so it is damaged; copy or "
                "train it again."
            )
        difference = float(np.abs(found - wanted).max() / max(wanted.std(), SMALLEST_SPREAD))
        if not difference <= TOLERANCE:
            raise InputError(
                f"ONNX Runtime {onnxruntime.__version__} does not compute what torch does: predictions of {structure} "
                f"differ by {difference:.1e} of their standard deviation, at most {TOLERANCE:.0e} is allowed; try "
                "another version of onnxruntime."
            )
        differences.append(difference)
    return max(differences)
