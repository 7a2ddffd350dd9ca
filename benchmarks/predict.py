"""Voxels a second of predicting a whole image, against the published way; the effect of the windows' overlap.

The published way merges the experts anew for every batch of windows, at full size in float32; its overlap is 50%.
Each way predicts the same image in turn, so that a busy machine slows all alike. With a trained model and a test set
also: the change in mean squared error, and score against time for several overlaps and for the whole volume at once.

    python benchmarks/predict.py                                       # an untrained network, random image
    python benchmarks/predict.py --model results/models/.../model.safetensors --test-set results/datasets/test.h5
    python benchmarks/predict.py --memory                              # peak memory of a whole prediction
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import torch
from monai.inferers import sliding_window_inference
from tables import FOLDER, show
from torch import nn
from train_step import MergingForEachSample, merging

from ssp_model.data.dataset import Dataset
from ssp_model.evaluation.metrics import score
from ssp_model.hardware import Compute, device_name, process_peak_memory_mb
from ssp_model.models.model_file import ModelInfo, load_model, save_model
from ssp_model.nn.methods.repmode import RepMode
from ssp_model.nn.mode_conv import TaskGroups, convolve
from ssp_model.prediction.batch import predict_images
from ssp_model.prediction.plan import OutputSettings
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.requests import ImageRequest
from ssp_model.prediction.sliding_window import Windows, predict_volume, specialised, window_weights


class MergingForEachBatch(MergingForEachSample):
    """Experts merged anew for each batch, at full size by plain operations, in float32; a batch has one task."""

    def forward(self, x: torch.Tensor, groups: TaskGroups) -> torch.Tensor:
        """(N, I, D, H, W) to (N, O, D, H, W)."""
        return convolve(x, self.merge(groups.tasks_T)[0])


class Published(nn.Module):
    """Predicts windows of one task, merging for each batch of them in float32."""

    def __init__(self, model: RepMode, task: int) -> None:
        super().__init__()
        self.model, self.task = merging(model, MergingForEachBatch), task

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1, D, H, W)."""
        return self.model(x, torch.full((len(x),), self.task, device=x.device))


def published(network: Published, signal: np.ndarray, patch: tuple[int, ...]) -> np.ndarray:
    """MONAI's sliding window as published."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        predicted = sliding_window_inference(
            torch.from_numpy(signal)[None, None],
            roi_size=patch,
            sw_batch_size=4,
            predictor=network,
            overlap=0.5,
            roi_weight_map=torch.from_numpy(window_weights(patch)),
            sw_device=device,
            device="cpu",
        )
    return predicted[0, 0].numpy()


def fresh(path: Path | None, width: int, device: str) -> RepMode:
    """The model of a file, or an untrained one."""
    torch.manual_seed(0)
    return (load_model(path)[0] if path else RepMode(12, width)).to(device).eval()


def speed(arguments: argparse.Namespace) -> None:
    """Ways of predicting beside each other."""
    fast = Compute.choose()
    device = fast.device.type
    if arguments.test_set:
        info = load_model(arguments.model)[1]
        with Dataset(arguments.test_set) as dataset:
            dataset.number_tasks(info.structures)
            signals = [dataset.signal(i)[()] for i in dataset.index.index]
            targets = [dataset.target(i)[()] for i in dataset.index.index]
            tasks = dataset.index.task_number.tolist()
        patch = info.patch
    else:
        patch = tuple(arguments.patch)
        signals, targets, tasks = [np.random.default_rng(0).normal(size=arguments.shape).astype(np.float32)], [], [0]
    windows = Windows(patch)
    plain = fresh(arguments.model, arguments.width, device)
    merging = Published(fresh(arguments.model, arguments.width, device), 0)
    ways = {
        "published way, float32": lambda signal, task: published(merging, signal, patch),
        "specialised, float32": lambda signal, task: predict_volume(specialised(plain, task), signal, windows),
        f"specialised, {fast.precision}": lambda signal, task: predict_volume(
            specialised(plain, task), signal, windows, fast.autocast
        ),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    squared: dict[str, list[float]] = {way: [] for way in ways}
    for number, (signal, task) in enumerate(zip(signals, tasks, strict=True)):
        if number >= arguments.images:
            break
        merging.task = task
        for way, predict in ways.items():
            started = time.perf_counter()
            predicted = predict(signal, task)
            seconds[way].append((time.perf_counter() - started) / signal.size)
            if targets:
                squared[way].append(float(np.square(predicted - targets[number]).mean()))
    rows = []
    for way in ways:
        voxels_a_second = 1 / statistics.median(seconds[way])
        row = {"way": way, "thousand voxels a second": voxels_a_second / 1e3}
        row["ratio"] = voxels_a_second * statistics.median(seconds["published way, float32"])
        if targets:
            row["MSE"] = np.mean(squared[way])
            row["change of MSE, %"] = 100 * (row["MSE"] / np.mean(squared["published way, float32"]) - 1)
        rows.append(row)
    context = (
        f"width {plain.width}, windows of {'x'.join(map(str, patch))} overlapping by half, images of "
        f"{'x'.join(map(str, signals[0].shape))}, {device_name()}, {torch.get_num_threads()} threads"
    )
    show("predict", context, pd.DataFrame(rows))


def overlaps(arguments: argparse.Namespace) -> None:
    """Score and time of several overlaps, and of the whole volume as one window; also drawn."""
    compute = Compute.choose()
    model, info = load_model(arguments.model, compute.device)
    rows = []
    with Dataset(arguments.test_set) as dataset:
        dataset.number_tasks(info.structures)
        largest = np.max([dataset.signal(i).shape for i in dataset.index.index], axis=0)
        whole = tuple(int(-(-size // 16) * 16) for size in largest)
        ways = {f"overlap {overlap}": Windows(info.patch, overlap) for overlap in (0.0, 0.25, 0.5, 0.75)}
        for way, windows in (ways | {"whole volume": Windows(whole, 0.0)}).items():
            scores, elapsed = [], 0.0
            for sample in dataset.index.index:
                network = specialised(model, dataset.index.task_number[sample])
                signal = dataset.signal(sample)[()]
                started = time.perf_counter()
                predicted = np.asarray(predict_volume(network, signal, windows, compute.autocast))
                elapsed += time.perf_counter() - started
                scores.append(score(predicted, dataset.target(sample)[()]))
            mean = pd.DataFrame(scores).mean()
            rows.append({"way": way, "seconds an image": elapsed / len(scores), "MSE": mean.mse, "R2": mean.r2})
    frame = pd.DataFrame(rows)
    frame["time ratio"] = frame["seconds an image"] / frame["seconds an image"][frame.way == "overlap 0.5"].item()
    show("overlap", f"{len(scores)} images, windows of {info.patch}, {device_name()}", frame)
    draw_overlaps(frame)


def draw_overlaps(frame: pd.DataFrame) -> None:
    """The plot of the docs."""
    from matplotlib.figure import Figure

    from ssp_model.figures.style import BLUE, save, style

    with style():
        figure = Figure(figsize=(6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot(frame["time ratio"], frame.MSE, "o", color=BLUE)
        for row in frame.itertuples():
            axes.annotate(row.way, (row._5, row.MSE), xytext=(6, 4), textcoords="offset points", fontsize=8)
        axes.set(xlabel="time, relative to overlap 0.5", ylabel="MSE over the test images", xlim=(0, None))
        axes.margins(x=0.2, y=0.15)
        axes.grid(alpha=0.2)
    save(figure, FOLDER / "overlap.png")


WAYS = {"TIFF": ".ome.tif", "CZI": ".czi"}


def make_image(path: Path, shape: tuple[int, int, int]) -> None:
    """An image of noise, uint16, plane by plane."""
    rng = np.random.default_rng(0)
    plane = rng.normal(1000, 50, shape[1:]).astype(np.uint16)
    if path.suffix == ".czi":
        from pylibCZIrw import czi

        with czi.create_czi(str(path), compression_options="zstd1:ExplicitLevel=1") as file:
            for z in range(shape[0]):
                file.write(np.roll(plane, z, axis=1), plane={"Z": z, "C": 0, "T": 0})
            file.write_metadata("image", channel_names={0: "light"}, scale_x=1e-7, scale_y=1e-7, scale_z=3e-7)
        return
    sizes = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}
    planes = (np.roll(plane, z, axis=1) for z in range(shape[0]))
    tifffile.imwrite(
        path, planes, shape=shape, dtype=np.uint16, metadata={"axes": "ZYX", **sizes}, photometric="minisblack"
    )


def peak_memory(path: Path, model: Path) -> tuple[float, float]:
    """Peak memory in MB and seconds of predicting an image onto its own grid, in a process of its own."""
    started = time.perf_counter()
    predictor = Predictor(model, threads=os.cpu_count(), overlap=0.0)
    (outcome,) = predict_images(predictor, [ImageRequest(path)], path.parent / "out", OutputSettings())
    assert outcome.status == "done", outcome.problem
    return process_peak_memory_mb() * 2**20 / 1e6, time.perf_counter() - started


def memory(arguments: argparse.Namespace) -> None:
    """Peak memory of the whole prediction of an image, from the microscope file to the OME-TIFF."""
    shape = tuple(arguments.memory_shape)
    patch, size = (32, 128, 128), (0.3, 0.1 * arguments.shrink, 0.1 * arguments.shrink)
    info = ModelInfo(
        structures=("dna", "tom20"),
        method="repmode",
        settings={"width": arguments.memory_width},
        patch=patch,
        voxel_size_um=size,
        preprocess={},
        config={},
        training={},
    )
    rows = []
    for name, suffix in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            model, image = Path(folder) / "model.safetensors", Path(folder) / f"image{suffix}"
            save_model(RepMode(2, arguments.memory_width), info, model)
            make_image(image, shape)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                peak, seconds = pool.submit(peak_memory, image, model).result()
        rows.append({"file": name, "raw, MB": 2 * np.prod(shape) / 1e6, "peak MB": peak, "seconds": seconds})
    context = (
        f"{'x'.join(map(str, shape))} voxels, {' x '.join(f'{s:g}' for s in size)} um of the model, width "
        f"{arguments.memory_width}, 2 structures, windows of 32x128x128 without overlap, {device_name()}"
    )
    show("predict_memory", context, pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--test-set", type=Path)
    parser.add_argument("--images", type=int, default=5, help="at most so many images for the speed")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--patch", type=int, nargs=3, default=[32, 64, 64])
    parser.add_argument("--shape", type=int, nargs=3, default=[48, 128, 128])
    parser.add_argument(
        "--memory",
        action="store_true",
        help="peak memory from a CZI and a TIFF to an OME-TIFF; some 20 minutes in full",
    )
    parser.add_argument("--memory-shape", type=int, nargs=3, default=[200, 2048, 2048], help="a smaller one is quicker")
    parser.add_argument("--memory-width", type=int, default=1, help="channels of the network's first level")
    parser.add_argument("--shrink", type=float, default=1.0, help="how much larger than the image's the model's voxels")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    if arguments.memory:
        memory(arguments)
        return
    speed(arguments)
    if arguments.model and arguments.test_set:
        overlaps(arguments)


if __name__ == "__main__":
    main()
