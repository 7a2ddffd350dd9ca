"""Model files: weights as safetensors, with all that is needed to use them as metadata.

The safetensors format holds numbers and text only, so a model from a stranger can be opened without running its code.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import ssp_model
from ssp_model.errors import InputError
from ssp_model.files import replacing
from ssp_model.nn.repmode import RepMode

FORMAT = "ssp_model RepMode 1"
NORMALISATION = "each raw image: subtract its mean, divide by its standard deviation, then resize"


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of its model.

    Attributes
    ----------
    structures : tuple of str
        What it predicts; a task's number is the place of its structure here.
    width : int
        Channels of the first level.
    patch : tuple of int
        Window of prediction, Z, Y, X.
    voxel_size_um : tuple of float, or None
        Z, Y, X; None where the training images had no pixel sizes.
    preprocess : dict
        The section `preprocess` of the configuration it was trained with.
    config : dict
        That configuration, whole.
    training : dict
        Where training ended: best epoch, its validation loss and the like.
    """

    structures: tuple[str, ...]
    width: int
    patch: tuple[int, int, int]
    voxel_size_um: tuple[float, float, float] | None
    preprocess: dict[str, object]
    config: dict[str, object]
    training: dict[str, object]
    normalisation: str = NORMALISATION
    version: str = ssp_model.__version__

    def task(self, structure: str) -> int:
        """Number of a structure's task.

        Raises
        ------
        InputError
            The model does not know the structure.
        """
        if structure not in self.structures:
            known = ", ".join(self.structures)
            raise InputError(f"The model does not predict {structure!r}; it predicts {known}.")
        return self.structures.index(structure)


def save_model(model: RepMode, info: ModelInfo, path: str | Path) -> None:
    """Write a model file, `.safetensors`."""
    # one layout for all hardware: channels_last is a matter of speed, not of content
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    metadata = {"format": FORMAT, "info": json.dumps(asdict(info))}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata)


def read_info(path: str | Path) -> ModelInfo:
    """Read what a model file says of its model, without its weights.

    Raises
    ------
    InputError
        The file is not a model file of this project.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} can't be read as a model ({error}); wanted is a model.safetensors.") from None
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise InputError(f"{path} is no model of this project: its format is {found!r}, wanted is {FORMAT!r}.")
    values = json.loads(metadata["info"])
    for key in ("structures", "patch", "voxel_size_um"):
        values[key] = _tuple(values[key])
    return ModelInfo(**values)


def _tuple(value: Sequence[object] | None) -> tuple[object, ...] | None:
    return None if value is None else tuple(value)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[RepMode, ModelInfo]:
    """Read a model file; the model comes in evaluation mode.

    Raises
    ------
    InputError
        The file is not a model file of this project.
    """
    info = read_info(path)
    model = RepMode(len(info.structures), info.width)
    with safe_open(path, framework="pt") as file:
        # load_state_dict checks names and shapes
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 not a dict
    return model.to(device).eval(), info
