"""What a trained model costs: parameters, arithmetic, and the time and memory of a prediction."""

import logging
import statistics
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ssp_model.files import write_table
from ssp_model.hardware import PRECISIONS, Compute, device_name
from ssp_model.models.model_file import load_model
from ssp_model.prediction.memory import peak_bytes_on_gpu, window_bytes
from ssp_model.prediction.sliding_window import predict_windows, specialised

logger = logging.getLogger(__name__)

RUNS = 5
"""Predictions of one patch that are timed; their median counts."""

PRECISION_NAMES = {arithmetic: name for name, arithmetic in PRECISIONS.items()}


def measure_cost(
    model_path: str | Path,
    output_csv: str | Path,
    precision: str = "auto",
    threads: int | None = None,
    *,
    experiment: str,
) -> None:
    """Measure what a trained model costs, with one patch of the model's own size.

    The last structure is predicted: that which was added, if the model was extended. All structures of a method take
    the same arithmetic. Parameters are those of all structures together.

    Parameters
    ----------
    model_path : path
        Model file.
    output_csv : path
        CSV file to write, with one row: `experiment`; `method` and its `title`; `parameters`; `gmac_training` and
        `gmac_prediction`, 10^9 multiplications with addition of one patch forward, in the network as it is trained and
        in that specialised to one structure; `predict_s` and `predict_mib`, time and memory of the prediction of one
        patch, memory without the weights; `device` and `precision`.
    precision : str
        `auto`, `float32`, `bf16` or `fp16`, as `train.precision`.
    threads : int, optional
        CPU threads; without, torch decides.
    experiment : str
        Name of the experiment.

    Raises
    ------
    InputError
        The file is not a model file of this project, or there is no such precision.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    compute = Compute.choose(precision)
    network, info = load_model(model_path, compute.device)
    task = len(info.structures) - 1
    patch = torch.zeros(1, 1, *info.patch)
    with torch.no_grad(), compute.autocast(), FlopCounterMode(display=False) as counter:
        # without the statistics of a batch, which have no arithmetic that counts
        network.supervised(patch.to(compute.device), torch.tensor([task], device=compute.device))
    row = {
        "experiment": experiment,
        "method": info.method,
        "title": network.title,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "gmac_training": gmac(counter),
    }
    of_task = specialised(network, task)
    del network
    row |= prediction_cost(of_task, patch, compute)
    row |= {"device": device_name(), "precision": PRECISION_NAMES[compute.precision]}
    write_table(pd.DataFrame([row]), output_csv)
    logger.info(
        "%s: %s parameters, %.1f GMAC and %.3f s a patch",
        row["title"], f"{row['parameters']:,}", row["gmac_prediction"], row["predict_s"],
    )  # fmt: skip


def prediction_cost(network: nn.Module, patch: Tensor, compute: Compute) -> dict[str, float]:
    """Return arithmetic, time and memory of the prediction of one patch, (1, 1, Z, Y, X)."""
    with FlopCounterMode(display=False) as counter:
        # this also warms up
        predict_windows(network, patch, compute.autocast)
    seconds = []
    for _ in range(RUNS):
        started = perf_counter()
        # the result is on the CPU, so a GPU has finished
        predict_windows(network, patch, compute.autocast)
        seconds.append(perf_counter() - started)
    size = patch.shape[2:]
    on_gpu = compute.device.type == "cuda"
    peak = peak_bytes_on_gpu(network, size, compute.autocast) if on_gpu else window_bytes(network, size)
    return {
        "gmac_prediction": gmac(counter),
        "predict_s": statistics.median(seconds),
        "predict_mib": peak / 2**20,
    }


def gmac(counter: FlopCounterMode) -> float:
    """Return the counted arithmetic in 10^9 multiplications with addition; torch counts each as two operations."""
    return counter.get_total_flops() / 2e9
