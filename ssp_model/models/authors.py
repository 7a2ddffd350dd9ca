"""Checkpoints of the RepMode authors: import a file, and translate the names of its parameters.

The published names are facts of the file format (`torch.save` of the authors' module). In a published checkpoint, one
module has the gate and the batch norm of a convolution; here they belong to two modules.
"""

import argparse
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from ssp_model.errors import InputError
from ssp_model.models.model_file import ModelInfo, save_model
from ssp_model.nn.methods.repmode import RepMode

PUBLISHED_PATCH = (32, 128, 128)
PUBLISHED_SCALE = (1, 0.37241, 0.37241)
PUBLISHED_VOXEL_SIZE_UM = (0.29, 0.10833 / 0.37241, 0.10833 / 0.37241)

_EXPERT = {
    "expert_conv5x5_conv": "conv5",
    "expert_conv3x3_conv": "conv3",
    "expert_conv1x1_conv": "conv1",
    "expert_avg3x3_conv": "pool3",
    "expert_avg5x5_conv": "pool5",
}
_CONSTANT = re.compile(r"\.expert_avg[35]x[35]_pool$")


def state_dict_from_published(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a published checkpoint to the names of `RepMode`."""
    return {rename(name): value for name, value in published.items() if not _CONSTANT.search(name)}


def rename(name: str) -> str:
    """Translate a name: `encoder_block1.conv_more.conv1.gate.weight` is `encoder.0.block1.conv.gate.weight` here."""
    for published, ours in _EXPERT.items():
        name = re.sub(rf"\.{published}$", f".experts.{ours}", name)
    # published decoder blocks are counted from the top of the network, ours in the order of use
    name = re.sub(r"^decoder_block(\d)\.convt\.", lambda m: f"up.{4 - int(m[1])}.", name)
    name = re.sub(r"^decoder_block(\d)\.conv_less\.", lambda m: f"decoder.{4 - int(m[1])}.", name)
    name = re.sub(r"^encoder_block(\d)\.conv_down\.", lambda m: f"down.{int(m[1]) - 1}.", name)
    name = re.sub(r"^encoder_block(\d)\.conv_more\.", lambda m: f"encoder.{int(m[1]) - 1}.", name)
    name = re.sub(r"^bottle_block\.", "bottleneck.", name)
    name = re.sub(r"^conv_out\.", "head.", name)
    name = re.sub(r"\.?conv([12])\.subsequent_layer\.0\.", r".block\1.norm.", name)
    name = re.sub(r"\.?conv([12])\.(experts|gate)\.", r".block\1.conv.\2.", name)
    return name


def import_checkpoint(checkpoint: str | Path, model: str | Path) -> None:
    """Convert a checkpoint of the authors to a model file with identical predictions.

    Parameters
    ----------
    checkpoint : path
        File that their training wrote (`torch.save` of a dict with `nn_module`, `opts`, `nn_state`, ...).
    model : path
        Model file to write, `.safetensors`.

    Raises
    ------
    InputError
        The file is not such a checkpoint, or holds objects that can only be restored by running its code.
    """
    try:
        # apart from numbers and plain containers there are options, as an argparse.Namespace, which is harmless
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{checkpoint} can't be read safely as a checkpoint ({reason}); nothing was run.") from None
    if not isinstance(content, dict) or content.get("nn_module") != "RepMode" or "nn_state" not in content:
        found = content.get("nn_module") if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{checkpoint} holds {found!r}, wanted is a checkpoint of RepMode.")
    structures = sorted(content["opts"].adopted_datasets)
    state = state_dict_from_published(content["nn_state"])
    tasks, width = state["head.gate.weight"].shape[1], state["up.3.0.weight"].shape[1]
    if tasks != len(structures):
        raise InputError(f"{checkpoint} names {len(structures)} structures, but its network has {tasks} tasks.")
    network = RepMode(tasks, width)
    network.load_state_dict(state)
    info = ModelInfo(
        structures=tuple(structures),
        method="repmode",
        settings={"width": width},
        patch=PUBLISHED_PATCH,
        voxel_size_um=PUBLISHED_VOXEL_SIZE_UM,
        preprocess={"scale": PUBLISHED_SCALE, "voxel_size_um": None, "on_bad_image": "stop"},
        config={},
        training={"epoch": content.get("count_epoch"), "imported_from": Path(checkpoint).name},
    )
    save_model(network, info, model)
