"""Batch norm over several processes."""

import torch
from torch import nn

from ssp_model.models.model_file import make_network
from ssp_model.nn.batch_norm import synchronise_batch_norm


def test_several_processes_leave_frozen_batch_norms_alone():
    network = make_network("multi_head_decoder", 3, {"width": 1, "kernel": 3}, added=1)
    synchronise_batch_norm(network, torch.device("cpu"))
    network.train()
    norms = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm3d)}
    for name, norm in norms.items():
        assert norm.training == norm.weight.requires_grad == name.startswith("decoders.2.")
