"""Microscope images in, OME images out; knows nothing of training."""
