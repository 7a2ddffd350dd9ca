"""Predict subcellular structures from label-free 3D microscopy (RepMode, CVPR 2023)."""

__version__ = "0.1.0"
