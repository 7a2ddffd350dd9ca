"""Scores of a model over the test images (RepMode, section 4.1), and its predictions as OME-TIFF."""

import logging
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np
import pandas as pd

from ssp_model.config.schema import ScoringConfig
from ssp_model.data.dataset import Dataset
from ssp_model.errors import InputError
from ssp_model.evaluation.metrics import score
from ssp_model.evaluation.panel import Pair
from ssp_model.evaluation.panels import CURVE_COLUMNS, curve_rows, measure
from ssp_model.evaluation.regions import WorstRegions
from ssp_model.evaluation.scores import Run, places, read_scores, summarise
from ssp_model.files import replacing, short_name, write_table
from ssp_model.images.ome_tiff import write_channels
from ssp_model.log import progress
from ssp_model.models.model_file import ModelInfo
from ssp_model.prediction.signal_predictor import SignalPredictor
from ssp_model.scratch import scratch_folder

logger = logging.getLogger(__name__)

SaveImages = Literal["pictured", "all"]
"""Which predictions are kept as images: those that have a place, or all."""


class Files(NamedTuple):
    """What the evaluation of a structure writes.

    Attributes
    ----------
    per_image : path
        CSV file: a row an image with its run, its group if there are groups, its scores, its `place` (best, median or
        worst of the structure, by R2) and the file of its prediction.
    curves : path
        CSV file: a row a point of a curve, with `image`, `curve`, `x` and `y`.
    regions : path
        HDF5 file: the regions with the largest errors (`evaluation/regions.py`).
    images : path
        Folder: `{image}.ome.tif` with signal, target and prediction.
    """

    per_image: str | Path
    curves: str | Path
    regions: str | Path
    images: str | Path


def evaluate_structure(
    predictor: SignalPredictor,
    test_set: str | Path,
    *,
    run: Run,
    structure: str,
    scoring: ScoringConfig,
    save_images: SaveImages,
    files: Files,
) -> None:
    """Predict and score each test image of a structure.

    Parameters
    ----------
    predictor : SignalPredictor
        The model.
    test_set : path
        Dataset (HDF5).
    run : Run
        What the scores are of.
    structure : str
    scoring : ScoringConfig
        What is measured besides the errors of voxels.
    save_images : str
    files : Files
        What is written.

    Raises
    ------
    InputError
        The model does not know a structure of the dataset, the dataset has no image of this one, or the model was
        trained at another voxel size.
    """
    with Dataset(test_set) as dataset, replacing(files.images) as folder:
        samples = samples_of(dataset, structure, predictor.info)
        folder.mkdir()
        worst = WorstRegions()
        scores, curves = [], [pd.DataFrame({column: [] for column in CURVE_COLUMNS})]
        with progress(f"evaluate {structure}", len(samples), "images") as advance:
            for sample in samples:
                prediction = np.asarray(predictor.predict_signal(dataset.signal(sample), structure))
                # which images to keep is known when all are scored
                np.save(folder / f"{sample}.npy", prediction)
                image = dataset.index.image[sample]
                scale_z = dataset.scale_z(sample)
                pair = Pair(prediction, dataset.target(sample)[()], dataset.voxel_size_um, structure, scale_z)
                measured = measure(pair, scoring)
                row = {**run._asdict(), "structure": structure, "image": image}
                if "group" in dataset.index:
                    row["group"] = dataset.index.group[sample]
                scores.append({"sample": sample, **row, **score(prediction, pair.target), **measured.numbers})
                worst.add(image, dataset.signal(sample), pair)
                curves += curve_rows(image, measured.curves)
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
    write_table(table.drop(columns="sample"), files.per_image)
    write_table(pd.concat(curves[1:] or curves), files.curves)
    worst.write(files.regions)
    logger.info("%s: R2 %.4f, MSE %.4f over %d images", structure, table.r2.mean(), table.mse.mean(), len(table))


def evaluate_model(
    predictor: SignalPredictor,
    test_set: str | Path,
    folder: str | Path,
    *,
    experiment: str,
    scoring: ScoringConfig,
    save_images: SaveImages,
) -> None:
    """Score a model on all structures of a dataset, into a folder.

    Parameters
    ----------
    predictor, test_set, scoring, save_images :
        As for `evaluate_structure`.
    folder : path
        Folder to write tables and images to.
    experiment : str
        Name of the experiment. The seed is the model's, 0 if its file does not tell.

    Raises
    ------
    InputError
        The model file says a seed that can't be one, or as for `evaluate_structure`.
    """
    folder = Path(folder)
    seed = predictor.info.training.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise InputError(
            f"The model file is damaged: its training.seed is {seed!r} but should be a whole number from 0; copy or "
            "train the model again."
        )
    with Dataset(test_set) as dataset:
        structures = dataset.tasks
    parts = {structure: folder / "structures" / f"{structure}.csv" for structure in structures}
    for structure, part in parts.items():
        evaluate_structure(
            predictor,
            test_set,
            run=Run(experiment, seed),
            structure=structure,
            scoring=scoring,
            save_images=save_images,
            files=Files(
                part,
                folder / "curves" / f"{structure}.csv",
                folder / "regions" / f"{structure}.h5",
                folder / "images" / structure,
            ),
        )
    summarise(list(parts.values()), *(folder / f"{name}.csv" for name in ("per_image", "per_structure", "overall")))


def predict_composite(
    predictor: SignalPredictor, test_set: str | Path, per_image: str | Path, output: str | Path
) -> None:
    """Predict all structures in the signal of one test image: that of median R2 of all.

    Parameters
    ----------
    predictor : SignalPredictor
        The model.
    test_set, per_image : path
        Dataset, and the scores of all its images.
    output : path
        OME-TIFF to write: transmitted light, then a channel a structure.
    """
    structures = predictor.info.structures
    table = read_scores(per_image)
    median = table.loc[places(table.r2).index("median")]
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        Dataset(test_set) as dataset,
        # predictions wait in a file, as a hundred structures fill a machine's memory
        scratch_folder(".part", output.parent) as folder,
        h5py.File(folder / "predictions.h5", "w") as file,
        progress("predict", len(structures), "structures") as advance,
    ):
        check_dataset(dataset, predictor.info)
        of_median = (dataset.index.task == median.structure) & (dataset.index.image == median.image)
        signal = dataset.signal(dataset.index.index[of_median][0])[()]
        channels = [signal]
        for structure in structures:
            predicted = file.create_dataset(structure, signal.shape, np.float32)
            channels.append(predictor.predict_signal(signal, structure, out=predicted))
            advance(1)
        write_channels(output, channels, ["transmitted light", *structures], dataset.voxel_size_um)


def samples_of(dataset: Dataset, structure: str, info: ModelInfo) -> pd.Index:
    """Return the numbers of a structure's samples.

    Raises
    ------
    InputError
        There is none, or the dataset is not for the model.
    """
    check_dataset(dataset, info)
    samples = dataset.index.index[dataset.index.task == structure]
    if samples.empty:
        raise InputError(f"{dataset.path} has no image of {structure}; it has {', '.join(dataset.tasks)}.")
    return samples


def check_dataset(dataset: Dataset, info: ModelInfo) -> None:
    """Refuse a dataset with structures that the model does not know, or of another voxel size."""
    dataset.check_voxel_size(info.voxel_size_um)
    dataset.number_tasks(info.structures)


def image_file(dataset: Dataset, sample: int) -> str:
    """Return the name of the file with a sample's prediction, in its structure's folder of images."""
    row = dataset.index.loc[sample]
    # images of DNA come from several structures, whose files may be named alike
    source = Path(row.image)
    return f"{short_name(f'{source.parent.name}_{source.stem}')}.ome.tif"


def save_image(
    dataset: Dataset, sample: int, prediction: np.ndarray, path: Path, *, expected_error: np.ndarray | None = None
) -> None:
    """Write signal, target and prediction of a sample as one OME-TIFF, and the expected error if there is one."""
    structure = dataset.index.task[sample]
    channels = {
        "transmitted light": dataset.signal(sample),
        f"{structure} target": dataset.target(sample),
        f"{structure} prediction": prediction,
    }
    if expected_error is not None:
        channels[f"{structure} expected error"] = expected_error
    write_channels(path, [*channels.values()], [*channels], dataset.voxel_size_um)
