"""Scores of a model over the test images (RepMode, section 4.1), and its predictions as OME-TIFF."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric

from ssp_model.checkpoint import ModelInfo, load_model
from ssp_model.config import EvaluateConfig, PredictConfig
from ssp_model.dataset import SAME_VOXEL_SIZE, Dataset, in_um
from ssp_model.errors import InputError
from ssp_model.files import replacing, write_table
from ssp_model.hardware import choose_precision
from ssp_model.log import progress
from ssp_model.metrics import METRICS, score
from ssp_model.ome_tiff import write_ome_tiff
from ssp_model.predict import predict_dataset

logger = logging.getLogger(__name__)


def evaluate_model(
    model_path: str | Path,
    test_set: str | Path,
    per_image: str | Path,
    per_structure: str | Path,
    overall: str | Path,
    images: str | Path,
    precision: str,
    predict_config: PredictConfig,
    config: EvaluateConfig,
    threads: int = 1,
) -> None:
    """Predict and score each test image.

    Parameters
    ----------
    model_path : path
        Model file.
    test_set : path
        Dataset (HDF5).
    per_image : path
        CSV file to write: the scores of each image, which of them the report pictures, and the file of its prediction.
    per_structure, overall : path
        CSV files to write: means over images, of each structure and of all, as published.
    images : path
        Folder to write: `{structure}/{image}.ome.tif` with signal, target and prediction.
    precision : str
        Arithmetic, as `train.precision`.
    predict_config, config : PredictConfig, EvaluateConfig
    threads : int
        CPU threads.

    Raises
    ------
    InputError
        The model does not know a structure of the dataset, or was trained at another voxel size.
    """
    torch.set_num_threads(threads)
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu", devices=1, precision=choose_precision(precision)
    )
    model, info = load_model(model_path, fabric.device)
    with Dataset(test_set) as dataset, replacing(images) as folder:
        check_voxel_size(dataset, info)
        dataset.number_tasks(info.structures)
        folder.mkdir()
        scores = []
        predict = partial(
            predict_dataset, model, dataset, info.patch, overlap=predict_config.overlap, autocast=fabric.autocast
        )
        with progress("evaluate", len(dataset), "images") as advance:
            for sample, prediction in predict():
                row = {"task": dataset.index.task[sample], "path_czi": dataset.index.path_czi[sample]}
                scores.append({"sample": sample, **row, **score(prediction, dataset.target(sample)[()])})
                if config.save_images == "all":
                    save_images(dataset, sample, prediction, folder)
                advance(1)
        table = pd.DataFrame(scores).rename(columns={"task": "structure"})
        table["pictured"] = is_median(table)
        if config.save_images == "pictured":
            for sample, prediction in predict(samples=table["sample"][table.pictured]):
                save_images(dataset, sample, prediction, folder)
        saved = [image_file(dataset, sample) for sample in table["sample"]]
        table["file"] = [name if (folder / name).exists() else "" for name in saved]
    by_structure = table.groupby("structure")[list(METRICS)].mean()
    by_structure.insert(0, "images", table.groupby("structure").size())
    write_table(table.drop(columns="sample"), per_image)
    write_table(by_structure.reset_index(), per_structure)
    mean = table[list(METRICS)].mean()
    write_table(pd.DataFrame([{"images": len(table), **mean}]), overall)
    logger.info("MSE %.4f, MAE %.4f, R2 %.4f over %d images", *mean, len(table))


def check_voxel_size(dataset: Dataset, info: ModelInfo) -> None:
    """Refuse a dataset of another voxel size than the model was trained at."""
    if dataset.voxel_size_um and info.voxel_size_um:
        ratio = np.array(dataset.voxel_size_um) / np.array(info.voxel_size_um)
        if np.abs(ratio - 1).max() > SAME_VOXEL_SIZE:
            raise InputError(
                f"{dataset.path} has voxels of {in_um(dataset.voxel_size_um)} (Z, Y, X), but the model was trained at "
                f"{in_um(info.voxel_size_um)}; convert the images with preprocess.voxel_size_um set to the model's."
            )


def is_median(table: pd.DataFrame) -> pd.Series:
    """For each structure, True for its image of median R2 (of an even number, the lower of the middle two)."""
    rank = table.groupby("structure").r2.rank(method="first")
    middle = (table.groupby("structure").r2.transform("size") + 1) // 2
    return rank == middle


def image_file(dataset: Dataset, sample: int) -> str:
    """Name of the file with a sample's prediction, in the folder of images."""
    row = dataset.index.loc[sample]
    # images of DNA come from several structures, whose files may be named alike
    source = Path(row.path_czi)
    return f"{row.task}/{source.parent.name}_{source.stem}.ome.tif"


def save_images(dataset: Dataset, sample: int, prediction: np.ndarray, folder: Path) -> None:
    """Write signal, target and prediction of a sample as one OME-TIFF."""
    path = folder / image_file(dataset, sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    structure = dataset.index.task[sample]
    stack_CZYX = np.stack([dataset.signal(sample)[()], dataset.target(sample)[()], prediction])
    names = ["transmitted light", f"{structure} target", f"{structure} prediction"]
    write_ome_tiff(path, stack_CZYX, names, dataset.voxel_size_um)
