"""The training loop, and what keeps a training alive."""
