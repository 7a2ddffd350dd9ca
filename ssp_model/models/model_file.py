"""Model files: weights as safetensors, and metadata with everything that is needed to use them.

The safetensors format holds only numbers and text, so opening a model of a stranger runs no code.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import ssp_model
from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.nn.method import Method
from ssp_model.nn.methods import METHODS, method_class

FORMAT = "ssp_model 2"
FIRST_FORMAT = "ssp_model RepMode 1"
"""Format of version 0.1.0, which had one method."""
NORMALISATION = "each raw image: subtract its mean, divide by its standard deviation, then resize"


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says about its model.

    Attributes
    ----------
    structures : tuple of str
        What the model predicts. The position of a structure here is its task.
    method : str
        Name of the method.
    settings : dict
        The method's own settings, such as `width`.
    patch : tuple of int
        Size (Z, Y, X) of the crops it was trained on and of the windows it predicts.
    voxel_size_um : tuple of float, or None
        Z, Y, X; None if the training images had no pixel sizes.
    preprocess : dict
        The section `preprocess` of the config it was trained with.
    config : dict
        The config it was trained with.
    training : dict
        Experiment, seed, best epoch, and the validation MSE of this epoch.
    """

    structures: tuple[str, ...]
    method: str
    settings: dict[str, Any]
    patch: tuple[int, int, int]
    voxel_size_um: tuple[float, float, float] | None
    preprocess: dict[str, Any]
    config: dict[str, Any]
    training: dict[str, Any]
    normalisation: str = NORMALISATION
    version: str = ssp_model.__version__

    def task(self, structure: str) -> int:
        """Return the task of a structure.

        Raises
        ------
        InputError
            The model does not know the structure.
        """
        if structure not in self.structures:
            known = ", ".join(self.structures)
            raise InputError(f"The model does not predict {structure!r}; it predicts {known}.")
        return self.structures.index(structure)


def make_network(method: str, num_tasks: int, settings: dict[str, Any]) -> Method:
    """Build the network of a method, with new weights.

    Parameters
    ----------
    method : str
        Name of the method.
    num_tasks : int
        Number of structures.
    settings : dict
        The method's own settings. An entry `method` is ignored.
    """
    own = {key: value for key, value in settings.items() if key != "method"}
    return method_class(method)(num_tasks, **own)


def save_model(network: Method, info: ModelInfo, path: str | Path) -> None:
    """Write a model file, `.safetensors`."""
    # one memory layout for all hardware: channels_last changes the speed, not the content
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    metadata = {"format": FORMAT, "info": json.dumps(asdict(info))}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata)
        # safetensors makes the file readable only for its owner
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)


def read_info(path: str | Path) -> ModelInfo:
    """Read what a model file says about its model, without the weights.

    Raises
    ------
    InputError
        The file is not a model file of this project, is damaged, or was written by a later version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} can't be read as a model file ({error}); give a model.safetensors that this project wrote."
        ) from None
    written = metadata.get("format")
    if written not in (FORMAT, FIRST_FORMAT):
        if str(written).startswith("ssp_model "):
            raise InputError(
                f"{path} was written by a later version of ssp_model (format {written!r}, known here are "
                f"{FIRST_FORMAT!r} and {FORMAT!r}); install that version to use it."
            )
        found = "no format entry" if written is None else f"the format {written!r}"
        raise InputError(f"{path} is not an ssp_model model file ({found} in its metadata); give one of this project.")
    try:
        values = json.loads(metadata["info"])
        if written == FIRST_FORMAT:
            values |= {"method": "repmode", "settings": {"width": values.pop("width")}}
        for key in ("structures", "patch", "voxel_size_um"):
            values[key] = None if values[key] is None else tuple(values[key])
        info = ModelInfo(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is a damaged model file ({error!r} in its metadata); copy or train it again."
        ) from None
    if info.method not in METHODS:
        raise InputError(
            f"{path} is of the method {info.method!r}, which this version does not know (it knows "
            f"{', '.join(METHODS)}); install the version that wrote it, {info.version}."
        )
    return info


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[Method, ModelInfo]:
    """Read a model file. The network is in evaluation mode.

    Raises
    ------
    InputError
        The file is not a model file of this project, is damaged, or was written by a later version.
    """
    info = read_info(path)
    network = make_network(info.method, len(info.structures), info.settings)
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 not a dict
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is damaged: its weights are not those of {info.method} ({reason}); copy or train it again."
        ) from None
    return network.to(device).eval(), info
