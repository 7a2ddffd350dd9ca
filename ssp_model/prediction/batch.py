"""Many images: plan them all, refuse what would do harm, tell the work, predict, sum up."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ssp_model.errors import InputError
from ssp_model.images.inspect import size_text
from ssp_model.log import counted, duration, progress
from ssp_model.prediction.image import predict_to_file
from ssp_model.prediction.likeness import DISTANCE, FEWEST, WARNING
from ssp_model.prediction.outcomes import Outcome, tell_outcomes
from ssp_model.prediction.outputs import Guard, differences, prepare_folder, publish, read_provenance, stems
from ssp_model.prediction.plan import OutputSettings, Plan, plan_images
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.requests import ImageRequest
from ssp_model.prediction.signal_predictor import Advance
from ssp_model.scratch import scratch_folder

logger = logging.getLogger(__name__)


def predict_images(
    predictor: Predictor,
    requests: Sequence[ImageRequest],
    folder: str | Path,
    settings: OutputSettings,
    *,
    overwrite: bool = False,
) -> list[Outcome]:
    """Predict structures in images, into a folder: one OME image for each scene of each image.

    An image that can't be used does not keep the others from being predicted. The scraps of killed processes are
    removed from the folder.

    Parameters
    ----------
    predictor : Predictor
    requests : sequence of ImageRequest
    folder : path
        Folder for the predictions, which are named after the images.
    settings : OutputSettings
    overwrite : bool
        Whether to predict again where there is a prediction. Without, the same one is skipped, and one of another
        image, model or settings is an error.

    Returns
    -------
    list of Outcome
        One for each output.

    Raises
    ------
    InputError
        Nothing is predicted: the folder can't be used, an output would replace an input, the model or a file of
        another program, a structure is not known, or the disk is too small.
    """
    settings = replace(settings, structures=predictor.structures(settings.structures))
    paths = list(dict.fromkeys(request.path for request in requests))
    folder = prepare_folder(folder, paths)
    with scratch_folder(".part", folder) as scratch, _said_once():
        plans, outcomes = _plan_all(requests, stems(paths), folder, predictor, settings)
        _check_outputs(plans, paths, predictor, overwrite=overwrite)
        to_do = []
        for plan in plans:
            if overwrite or not plan.output.exists():
                to_do.append(plan)
            else:
                logger.info("%s is there already: skipped", plan.output)
                outcomes.append(_outcome(plan, "skipped", read_provenance(plan.output)))
        if to_do:
            for failed in (outcome for outcome in outcomes if outcome.problem):
                logger.warning("left out: %s", failed.problem)
            _check_disk(to_do, folder, settings)
            _tell_work(to_do, predictor, settings)
            _tell_reference(predictor)
            members = len(settings.ensemble.members) if settings.ensemble else 1
            voxels = sum(plan.num_voxels(len(settings.structures) * members) for plan in to_do)
            with progress("predict", voxels, "voxels") as advance:
                outcomes += [_predict(plan, predictor, settings, scratch, advance) for plan in to_do]
    tell_outcomes(outcomes)
    return outcomes


def _plan_all(
    requests: Sequence[ImageRequest],
    names: dict[Path, str],
    folder: Path,
    predictor: Predictor,
    settings: OutputSettings,
) -> tuple[list[Plan], list[Outcome]]:
    plans: list[Plan] = []
    failed: list[Outcome] = []
    for request in requests:
        try:
            of_file, problems = plan_images(request, names[request.path], folder, predictor, settings)
        except InputError as error:
            failed.append(Outcome(str(request.path), "", "", "failed", str(error)))
        else:
            plans += of_file
            failed += [Outcome(str(request.path), str(scene), "", "failed", text) for scene, text in problems.items()]
    return plans, failed


def _check_outputs(plans: Sequence[Plan], paths: Sequence[Path], predictor: Predictor, *, overwrite: bool) -> None:
    first: dict[Path, Plan] = {}
    guard = Guard(paths, predictor.path)
    for plan in plans:
        if first.setdefault(plan.output, plan) is not plan:
            raise InputError(
                f"{plan.name} is given twice, with different channels or times, and both predictions would be "
                f"{plan.output}; predict them into two folders."
            )
        guard.check(plan.output)
        if not overwrite and plan.output.exists() and (keys := differences(plan.output, plan.provenance)):
            raise InputError(
                f"{plan.output} is there already, but was predicted otherwise (it differs in: {', '.join(keys)}); give "
                "--overwrite to replace it, or another folder."
            )


def _tell_work(plans: Sequence[Plan], predictor: Predictor, settings: OutputSettings) -> None:
    num_structures = len(settings.structures)
    num_images, num_times = len({plan.request.path for plan in plans}), sum(len(plan.times) for plan in plans)
    count = settings.ensemble.count if settings.ensemble else predictor.windows.count
    num_windows = sum(len(plan.times) * count(plan.model_shape) for plan in plans) * num_structures
    voxels = sum(plan.num_voxels(1) for plan in plans)
    what = [counted(num_images, "image")]
    what += [counted(len(plans), "scene")] * (len(plans) > num_images)
    what += [counted(num_times, "time point")] * (num_times > len(plans))
    logger.info(
        "%s, %s: %s voxels at the model's size, %s, about %s", ", ".join(what), counted(num_structures, "structure"),
        f"{voxels:,}", counted(num_windows, "window"), duration(max(num_windows * predictor.seconds_a_window, 1)),
    )  # fmt: skip


def _tell_reference(predictor: Predictor) -> None:
    """Say if the images can't be compared with the training images, or by their voxel sizes only."""
    name, reference = predictor.path.name, predictor.reference
    if reference is None:
        logger.info(
            "%s does not tell of its training images, so it is not checked whether the images are like them", name
        )
    elif reference.num_measured < FEWEST:
        logger.info(
            "%s has learnt from %s, too few to tell what is usual, so only voxel sizes are compared",
            name, counted(reference.num_measured, "image"),
        )  # fmt: skip


def _check_disk(plans: Sequence[Plan], folder: Path, settings: OutputSettings) -> None:
    scratch = max(plan.scratch_bytes(len(settings.channel_names)) for plan in plans)
    outputs = sum(plan.output_bytes(settings) for plan in plans)
    free = shutil.disk_usage(folder).free
    text = f"{size_text(outputs)} for the predictions (less if they compress well) and {size_text(scratch)} meanwhile"
    if scratch + outputs > free:
        raise InputError(
            f"The disk of {folder} is too small: it needs {text}, and {size_text(free)} are free; give a folder on "
            "another disk, fewer images, or --pixels uint16."
        )
    logger.info("disk: %s, of %s that are free", text, size_text(free))


def _predict(plan: Plan, predictor: Predictor, settings: OutputSettings, scratch: Path, advance: Advance) -> Outcome:
    """Predict an image and publish it; a problem with it is no problem of the others."""
    try:
        written, likeness = predict_to_file(plan, predictor, settings, scratch, advance)
        publish(written, plan.output)
    except InputError as error:
        problem = str(error).replace(str(scratch), str(plan.output.parent))
    except MemoryError:
        problem = f"{plan.name} does not fit in memory; close other programs or give --max-memory."
    except OSError as error:
        problem = f"{plan.output} can't be written ({error.strerror or error})."
    except Exception as error:
        # an error of this program: told in full, but the other images are predicted
        logger.exception("%s", plan.name)
        problem = f"{plan.name} failed by an error of this program: {type(error).__name__}: {error}"
    else:
        logger.info("%s written", plan.output)
        outcome = _outcome(plan, "done", likeness.provenance(plan.name) if likeness else None)
        if outcome.warning:
            logger.warning("%s", outcome.warning)
        return outcome
    return replace(_outcome(plan, "failed"), output="", problem=problem)


def _outcome(
    plan: Plan, status: Literal["done", "skipped", "failed"], told: Mapping[str, str] | None = None
) -> Outcome:
    """Return what became of an image; `told` are the entries of the output that tell of its likeness."""
    told = told or {}
    distance, warning = told.get(DISTANCE, ""), told.get(WARNING, "")
    return Outcome(str(plan.request.path), str(plan.scene), str(plan.output), status, "", distance, warning)


@contextmanager
def _said_once() -> Iterator[None]:
    """Let the reader say the same of a file only once, though it is opened twice."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        new = text not in said
        said.add(text)
        return new

    reader = logging.getLogger("ssp_model.images.reader")
    reader.addFilter(is_new)
    try:
        yield
    finally:
        reader.removeFilter(is_new)
