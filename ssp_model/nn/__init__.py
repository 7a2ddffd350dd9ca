"""RepMode: one 3D U-Net for many partially labelled structures (CVPR 2023)."""

from ssp_model.nn.mode_conv import MoDEConv3d
from ssp_model.nn.repmode import RepMode
from ssp_model.nn.unet import UNet

__all__ = ["MoDEConv3d", "RepMode", "UNet"]
