"""Model files: weights as safetensors, and metadata with everything that is needed to use them.

The safetensors format holds only numbers and text, so opening a model of a stranger runs no code.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import ssp_model
from ssp_model.config.schema import ZYX, PatchSize, parse_model
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
    added : int
        Number of structures, the last, that were added to a trained model, one at a time.
    signals : dict, or None
        Statistics of the training signals, as `data.signal_statistics.training_signals` gives them; None in files of
        earlier versions. An entry of its own in the file: readers that do not know it pass over it.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    structures: Annotated[tuple[str, ...], Field(min_length=1)]
    method: str
    settings: dict[str, Any]
    patch: tuple[PatchSize, PatchSize, PatchSize]
    voxel_size_um: ZYX | None
    preprocess: dict[str, Any]
    config: dict[str, Any]
    training: dict[str, Any]
    added: Annotated[int, Field(ge=0)] = 0
    signals: dict[str, Any] | None = None
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


def make_network(method: str, num_tasks: int, settings: dict[str, Any], added: int = 0) -> Method:
    """Build the network of a method, with new weights.

    Parameters
    ----------
    method : str
        Name of the method.
    num_tasks : int
        Number of structures.
    settings : dict
        The method's own settings. An entry `method` is ignored.
    added : int
        Number of tasks, the last, by which the network is extended.
    """
    own = {key: value for key, value in settings.items() if key != "method"}
    network = method_class(method)(num_tasks - added, **own)
    for _ in range(added):
        network.extend()
    return network


def save_model(network: Method, info: ModelInfo, path: str | Path) -> None:
    """Write a model file, `.safetensors`."""
    # one memory layout for all hardware: channels_last changes the speed, not the content
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    values = asdict(info)
    signals = values.pop("signals")
    metadata = {"format": FORMAT, "info": json.dumps(values)}
    if signals is not None:
        metadata["signals"] = json.dumps(signals)
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
    # a pipe would be waited for
    if Path(path).exists() and not Path(path).is_file():
        raise InputError(f"{path} is not a file; give a model.safetensors that this project wrote.")
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
    values: Any = None
    try:
        values = json.loads(metadata.get("info", "null"))
        if "signals" in metadata:
            values["signals"] = json.loads(metadata["signals"])
        if written == FIRST_FORMAT and "width" in values:
            values |= {"method": "repmode", "settings": {"width": values.pop("width")}}
        info = TypeAdapter(ModelInfo).validate_json(json.dumps(values))
        _check_method(info)
    except ValidationError as error:
        raise _unusable(path, values, _reason(error, values)) from None
    except InputError as error:
        raise _unusable(path, values, str(error)) from None
    except (TypeError, ValueError):
        raise _unusable(path, values, "its metadata can't be read") from None
    return info


def _check_method(info: ModelInfo) -> None:
    """Check that this version has the method, that the settings are the method's own, and that it can be extended.

    Raises
    ------
    InputError
        They are not. The text is only the reason.
    """
    if info.method not in METHODS:
        raise InputError(f"its method is {info.method!r}, known here are {', '.join(METHODS)}")
    try:
        known = parse_model({**info.settings, "method": info.method}).model_dump(mode="json")
    except ValidationError as error:
        # the place is the method, then the setting
        key = str(error.errors()[0]["loc"][1])
        if error.errors()[0]["type"] == "extra_forbidden":
            raise InputError(f"{info.method} has no setting {key!r} here") from None
        raise InputError(_entry(info.settings, key, "settings.")) from None
    for key, value in info.settings.items():
        # a config may say "1" for 1, but the network takes the value as it is
        if type(known[key]) is not type(value):
            raise InputError(_entry(info.settings, key, "settings."))
    can_extend = method_class(info.method).extend is not Method.extend
    if info.added >= len(info.structures) or (info.added and not can_extend):
        raise InputError(_entry(vars(info), "added"))


def _reason(error: ValidationError, values: Any) -> str:
    """Return what is wrong with the entries of a model file."""
    problem = error.errors()[0]
    if not isinstance(values, dict) or not problem["loc"]:
        return "its metadata has no entries"
    key = str(problem["loc"][0])
    if problem["type"] == "unexpected_keyword_argument":
        return f"its entry {key!r} is not known here"
    return _entry(values, key)


def _entry(values: dict[str, Any], key: str, section: str = "") -> str:
    return f"its entry {section + key!r} is {repr(values[key]) if key in values else 'missing'}"


def _unusable(path: str | Path, values: Any, reason: str) -> InputError:
    """Return the error of a model file that can't be used: a later version wrote it, or it is damaged."""
    version = values.get("version") if isinstance(values, dict) else None
    if _numbers(version) > _numbers(ssp_model.__version__):
        return InputError(
            f"{path} was written by a later version of ssp_model, {version} (here is {ssp_model.__version__}, and "
            f"{reason}); install that version to use it."
        )
    return InputError(f"{path} is a damaged model file ({reason}); copy or train it again.")


def _numbers(version: Any) -> tuple[int, ...]:
    """Return the numbers of a version such as `0.10.1`; no numbers if it is not a version."""
    release = re.match(r"\d{1,9}(\.\d{1,9})*", version) if isinstance(version, str) else None
    return tuple(int(number) for number in release[0].split(".")) if release else ()


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[Method, ModelInfo]:
    """Read a model file. The network is in evaluation mode.

    On a CPU its weights stay in the file until they are used, so a model of many networks costs the memory of those
    that are used.

    Raises
    ------
    InputError
        The file is not a model file of this project, is damaged, or was written by a later version.
    """
    info = read_info(path)
    with torch.device("meta"):  # new weights would take as much memory again
        network = make_network(info.method, len(info.structures), info.settings, info.added)
    types = {name: value.dtype for name, value in network.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name).to(types.get(name)) for name in file.keys()}  # noqa: SIM118 not a dict
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise _unusable(path, vars(info), f"its weights are not those of {info.method}: {reason}") from None
    return network.to(device).eval(), info
