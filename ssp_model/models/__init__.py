"""Trained models as files: ours, and the checkpoints of the authors."""
