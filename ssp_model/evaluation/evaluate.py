"""Scores of a model over the test images (RepMode, section 4.1), and its predictions as OME-TIFF."""

import logging
import tempfile
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pandas as pd
import torch

from ssp_model.config.schema import PredictConfig
from ssp_model.data.dataset import SAME_VOXEL_SIZE, Dataset, in_um
from ssp_model.errors import InputError
from ssp_model.evaluation.metrics import score
from ssp_model.evaluation.scores import places, read_scores, summarise
from ssp_model.files import replacing, write_table
from ssp_model.hardware import make_fabric
from ssp_model.images.ome_tiff import write_ome_tiff
from ssp_model.log import progress
from ssp_model.models.model_file import ModelInfo, load_model
from ssp_model.prediction.sliding_window import Windows, predict_dataset, predict_volume, specialised

logger = logging.getLogger(__name__)


def evaluate_structure(
    model_path: str | Path,
    test_set: str | Path,
    structure: str,
    per_image: str | Path,
    images: str | Path,
    precision: str,
    predict_config: PredictConfig,
    save_images: Literal["pictured", "all"],
    threads: int = 1,
) -> None:
    """Predict and score each test image of a structure.

    Parameters
    ----------
    model_path : path
        Model file.
    test_set : path
        Dataset (HDF5).
    structure : str
    per_image : path
        CSV file to write: a row an image with its scores, its `place` (best, median or worst of the structure, by R2)
        and the file of its prediction.
    images : path
        Folder to write: `{image}.ome.tif` with signal, target and prediction.
    precision : str
        Arithmetic, as `train.precision`.
    predict_config : PredictConfig
    save_images : str
        `pictured` for those that have a place, or `all`.
    threads : int
        CPU threads.

    Raises
    ------
    InputError
        The model does not know a structure of the dataset, the dataset has no image of this one, or the model was
        trained at another voxel size.
    """
    torch.set_num_threads(threads)
    fabric = make_fabric(precision)
    model, info = load_model(model_path, fabric.device)
    with Dataset(test_set) as dataset, replacing(images) as folder:
        check_dataset(dataset, info)
        samples = dataset.index.index[dataset.index.task == structure]
        if samples.empty:
            raise InputError(f"{test_set} has no image of {structure}; it has {', '.join(dataset.tasks)}.")
        folder.mkdir()
        scores = []
        windows = Windows.of(info.patch, predict_config)
        with progress(f"evaluate {structure}", len(samples), "images") as advance:
            for sample, prediction in predict_dataset(model, dataset, windows, fabric.autocast, samples):
                # which images to keep is known when all are scored
                np.save(folder / f"{sample}.npy", prediction)
                row = {"structure": structure, "path_czi": dataset.index.path_czi[sample]}
                scores.append({"sample": sample, **row, **score(prediction, dataset.target(sample)[()])})
                advance(1)
        table = pd.DataFrame(scores)
        table["place"] = places(table.r2)
        kept = (table.place != "") | (save_images == "all")
        table["file"] = table["sample"].map(lambda sample: image_file(dataset, sample)).where(kept, "")
        for sample, name in zip(table["sample"], table.file, strict=True):
            predicted = folder / f"{sample}.npy"
            if name:
                save_image(dataset, sample, np.load(predicted), folder / name)
            predicted.unlink()
    write_table(table.drop(columns="sample"), per_image)
    logger.info("%s: R2 %.4f, MSE %.4f over %d images", structure, table.r2.mean(), table.mse.mean(), len(table))


def evaluate_model(
    model_path: str | Path,
    test_set: str | Path,
    folder: str | Path,
    precision: str,
    predict_config: PredictConfig,
    save_images: Literal["pictured", "all"],
    threads: int = 1,
) -> None:
    """Score a model on all structures of a dataset, into a folder; parameters as for `evaluate_structure`."""
    folder = Path(folder)
    with Dataset(test_set) as dataset:
        structures = dataset.tasks
    parts = [folder / "structures" / f"{structure}.csv" for structure in structures]
    for structure, part in zip(structures, parts, strict=True):
        images = folder / "images" / structure
        evaluate_structure(
            model_path, test_set, structure, part, images, precision, predict_config, save_images, threads
        )
    summarise(parts, *(folder / f"{name}.csv" for name in ("per_image", "per_structure", "overall")))


def predict_composite(
    model_path: str | Path,
    test_set: str | Path,
    per_image: str | Path,
    output: str | Path,
    precision: str,
    predict_config: PredictConfig,
    threads: int = 1,
) -> None:
    """Predict all structures in the signal of one test image: that of median R2 of all.

    Parameters
    ----------
    model_path, test_set, per_image : path
        Model file, dataset, and the scores of all images.
    output : path
        OME-TIFF to write: transmitted light, then a channel a structure.
    precision, predict_config, threads :
        As for `evaluate_structure`.
    """
    torch.set_num_threads(threads)
    fabric = make_fabric(precision)
    model, info = load_model(model_path, fabric.device)
    table = read_scores(per_image)
    median = table.loc[places(table.r2).index("median")]
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        Dataset(test_set) as dataset,
        # predictions wait in a file, as a hundred structures fill a machine's memory
        tempfile.TemporaryDirectory(dir=output.parent, prefix=".part.") as folder,
        h5py.File(Path(folder) / "predictions.h5", "w") as file,
        progress("predict", len(info.structures), "structures") as advance,
    ):
        check_dataset(dataset, info)
        of_median = (dataset.index.task == median.structure) & (dataset.index.path_czi == median.path_czi)
        signal = dataset.signal(dataset.index.index[of_median][0])[()]
        channels = [signal]
        windows = Windows.of(info.patch, predict_config)
        for task, structure in enumerate(info.structures):
            predicted = file.create_dataset(structure, signal.shape, np.float32)
            predict_volume(specialised(model, task), signal, windows, fabric.autocast, predicted)
            channels.append(predicted)
            advance(1)
        write_ome_tiff(output, channels, ["transmitted light", *info.structures], dataset.voxel_size_um)


def check_dataset(dataset: Dataset, info: ModelInfo) -> None:
    """Refuse a dataset with structures that the model does not know, or of another voxel size."""
    check_voxel_size(dataset, info)
    dataset.number_tasks(info.structures)


def check_voxel_size(dataset: Dataset, info: ModelInfo) -> None:
    """Refuse a dataset of another voxel size than the model was trained at."""
    if dataset.voxel_size_um and info.voxel_size_um:
        ratio = np.array(dataset.voxel_size_um) / np.array(info.voxel_size_um)
        if np.abs(ratio - 1).max() > SAME_VOXEL_SIZE:
            raise InputError(
                f"{dataset.path} has voxels of {in_um(dataset.voxel_size_um)} (Z, Y, X), but the model was trained at "
                f"{in_um(info.voxel_size_um)}; convert the images with preprocess.voxel_size_um set to the model's."
            )


def image_file(dataset: Dataset, sample: int) -> str:
    """Name of the file with a sample's prediction, in its structure's folder of images."""
    row = dataset.index.loc[sample]
    # images of DNA come from several structures, whose files may be named alike
    source = Path(row.path_czi)
    return f"{source.parent.name}_{source.stem}.ome.tif"


def save_image(dataset: Dataset, sample: int, prediction: np.ndarray, path: Path) -> None:
    """Write signal, target and prediction of a sample as one OME-TIFF."""
    structure = dataset.index.task[sample]
    names = ["transmitted light", f"{structure} target", f"{structure} prediction"]
    write_ome_tiff(path, [dataset.signal(sample), dataset.target(sample), prediction], names, dataset.voxel_size_um)
