"""Trained models as files: our model files, and the checkpoints of the RepMode authors."""
