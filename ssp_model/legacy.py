"""Names of the parameters in the authors' checkpoints, and the same parameters here.

Published names are facts of the file format (`torch.save` of the authors' module); the gate and batch norm of a
published convolution belong to one module, here to two.
"""

import re

from torch import Tensor

_EXPERT = {
    "expert_conv5x5_conv": "conv5",
    "expert_conv3x3_conv": "conv3",
    "expert_conv1x1_conv": "conv1",
    "expert_avg3x3_conv": "pool3",
    "expert_avg5x5_conv": "pool5",
}
_CONSTANT = re.compile(r"\.expert_avg[35]x[35]_pool$")


def state_dict_from_published(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a published checkpoint to those of `ssp_model.nn.RepMode`."""
    return {rename(name): value for name, value in published.items() if not _CONSTANT.search(name)}


def rename(name: str) -> str:
    """`encoder_block1.conv_more.conv1.gate.weight` is `encoder.0.block1.conv.gate.weight` here."""
    for published, ours in _EXPERT.items():
        name = re.sub(rf"\.{published}$", f".experts.{ours}", name)
    # decoder blocks are counted from the top of the network; here they come in the order of use
    name = re.sub(r"^decoder_block(\d)\.convt\.", lambda m: f"up.{4 - int(m[1])}.", name)
    name = re.sub(r"^decoder_block(\d)\.conv_less\.", lambda m: f"decoder.{4 - int(m[1])}.", name)
    name = re.sub(r"^encoder_block(\d)\.conv_down\.", lambda m: f"down.{int(m[1]) - 1}.", name)
    name = re.sub(r"^encoder_block(\d)\.conv_more\.", lambda m: f"encoder.{int(m[1]) - 1}.", name)
    name = re.sub(r"^bottle_block\.", "bottleneck.", name)
    name = re.sub(r"^conv_out\.", "head.", name)
    name = re.sub(r"\.?conv([12])\.subsequent_layer\.0\.", r".block\1.norm.", name)
    name = re.sub(r"\.?conv([12])\.(experts|gate)\.", r".block\1.conv.\2.", name)
    return name
