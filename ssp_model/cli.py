"""The `ssp` command: parts of the workflow that are useful on their own."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ssp_model.errors import InputError
from ssp_model.log import log_to_terminal

if TYPE_CHECKING:
    from ssp_model.training.distributed import Placement

typer_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # plain text keeps an example on its own line, and needs no import of rich
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
)
ALL_CORES = os.cpu_count() or 1


def _local_model(address: str) -> Path:
    """Return the file of a model that is given by its path or address."""
    from ssp_model.models.store import local_model

    return local_model(address)


ModelFile = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        parser=_local_model,
        help="Model file, such as model.safetensors; or https://...#sha256=..., or s3://...",
    ),
]
ConfigFiles = Annotated[
    list[Path],
    typer.Option(metavar="FILE", help="Config file (YAML). Repeat the option: later files override earlier ones."),
]
Threads = Annotated[int, typer.Option(min=1, metavar="N", help="Number of CPU threads.")]
Channel = Annotated[
    str | None,
    typer.Option(
        metavar="CHANNEL",
        show_default="the only one",
        help="Channel of the transmitted light: its number (the first is 0) or name.",
    ),
]
Overlap = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Share of a window that the next window covers again, from 0 to below 1. Less is faster.",
    ),
]
Flips = Annotated[
    str,
    typer.Option(
        metavar="AXES",
        show_default="none",
        help="Also predict the image flipped along these axes (of zyx), and average. Each axis doubles the time.",
    ),
]
OtherModels = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="MODEL",
        parser=_local_model,
        show_default="none",
        help="Further model, of another seed or method, for the uncertainty. Repeat it for several.",
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bf16", "fp16"],
    typer.Option(
        metavar="FORMAT",
        help="Number format: float32, bf16, fp16, or auto for the fastest that the hardware supports.",
    ),
]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="Where to compute: cpu, cuda:1, or auto for the first GPU.")
]
TrainSet = Annotated[Path, typer.Argument(metavar="TRAIN", help="Training dataset, such as train.h5.")]
ValSet = Annotated[Path, typer.Argument(metavar="VAL", help="Validation dataset, such as val.h5.")]
TrainingFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for model, history and checkpoint.")]
TrainingSeed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        show_default="the first of seeds in the config",
        help="Random seed for weights, crops and their order.",
    ),
]
Devices = Annotated[int, typer.Option(metavar="N", help="Processes on each node, a GPU each.")]
Nodes = Annotated[int, typer.Option(metavar="N", help="Number of nodes; more than 1 needs Slurm.")]
Cache = Annotated[str, typer.Option(metavar="PLACE", help="Where to read crops from: disk, scratch or memory.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print parameters, memory and steps, and train nothing.")]


def example(line: str) -> str:
    """Return the end of a command's help: an example, on a line of its own."""
    return f"\b\nExample:\n  {line}"


@typer_app.callback(
    epilog="\b\nssp COMMAND --help  shows the options of a command and an example.\n"
    "snakemake           runs everything from raw images to the report (README.md).",
)
def main() -> None:
    """Predict subcellular structures from label-free 3D microscopy images."""
    log_to_terminal()


@typer_app.command(epilog=example("ssp simulate collection --config demo/collection.yaml"))
def simulate(
    directory: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write the collection to.")],
    config: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="YAML file: structures, images, images_of, shape_zyx, voxel_size_um, seed, noise_free."
        ),
    ],
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Number of images to simulate at once.")] = 1,
) -> None:
    """Simulate a small image collection to try things out.

    The files look like those of the Allen collection, but no pixel comes from a microscope.
    """
    from pydantic import TypeAdapter, ValidationError

    from ssp_model.config.read import read_yaml
    from ssp_model.simulation.simulate import SimulationConfig, simulate_collection

    values = read_yaml(config)
    unknown = sorted(values.keys() - SimulationConfig.__dataclass_fields__.keys())
    if unknown:
        known = ", ".join(SimulationConfig.__dataclass_fields__)
        raise InputError(f"{config}: {', '.join(unknown)} is not a key; the keys are {known}.")
    try:
        settings = TypeAdapter(SimulationConfig).validate_python(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"{config} does not describe a simulation: {problems}. Correct the file.") from None
    simulate_collection(directory, settings, workers)


@typer_app.command(epilog=example("ssp preflight samples.csv --config config.yaml --config mine.yaml --pixels"))
def preflight(
    table: Annotated[Path, typer.Argument(metavar="SAMPLES", help="Table of samples (CSV).")],
    config: ConfigFiles,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Also read the intensities of the channels; this takes longer.")
    ] = False,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for problems.csv, problems.html and the other tables.")
    ] = Path("preflight"),
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Number of images to read at once.")] = ALL_CORES,
) -> None:
    """Check a table of samples before a training.

    All problems of all images are shown, and what the job needs of disk and memory. The exit status is 1 if there is
    an error.
    """
    from ssp_model.collection.preflight_table import describe_preflight
    from ssp_model.config.read import read_config
    from ssp_model.data.preflight import preflight_samples
    from ssp_model.images.inspect_table import console
    from ssp_model.report.preflight import preflight_page

    settings = read_config(config)
    found = preflight_samples(
        table,
        structures=settings.structures,
        preprocess=settings.preprocess,
        split=settings.split,
        num_workers=workers,
        pixels=pixels,
    )
    found.write(output)
    page = output / "problems.html"
    preflight_page(output / "problems.csv", output / "counts.csv", output / "space.csv", page)
    out = console()
    for part in describe_preflight(found):
        out.print(part)
    out.print(f"Written to {page}")
    if found.num_errors:
        raise typer.Exit(1)


@typer_app.command(epilog=example("ssp train train.h5 val.h5 trial --config config.yaml"))
def train(
    train_set: TrainSet,
    val_set: ValSet,
    folder: TrainingFolder,
    config: ConfigFiles,
    structure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default="all of the datasets",
            help="Structure to train on. Repeat the option for several.",
        ),
    ] = None,
    seed: TrainingSeed = None,
    threads: Threads = 1,
    devices: Devices = 1,
    nodes: Nodes = 1,
    cache: Cache = "disk",
    dry_run: DryRun = False,
) -> None:
    """Train a model, or resume a training.

    To resume a training that was stopped, run the same command again.
    """
    from ssp_model.training.distributed import Placement

    where = Placement(devices, nodes, threads, cache)
    _train(train_set, val_set, folder, config, seed=seed, structures=structure, where=where, dry_run=dry_run)


@typer_app.command(
    epilog=example("ssp extend model.safetensors train.h5 val.h5 extended --structure tom20 --config config.yaml")
)
def extend(
    model: ModelFile,
    train_set: TrainSet,
    val_set: ValSet,
    folder: TrainingFolder,
    config: ConfigFiles,
    structure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the one that the model does not know",
            help="Structure to add. Samples of other structures are not used.",
        ),
    ] = None,
    seed: TrainingSeed = None,
    threads: Threads = 1,
    devices: Devices = 1,
    nodes: Nodes = 1,
    cache: Cache = "disk",
    dry_run: DryRun = False,
) -> None:
    """Teach a trained model one more structure.

    The new model also predicts all structures of the old one, exactly as before. Method and settings are those of the
    old model. To resume a training that was stopped, run the same command again.
    """
    from ssp_model.training.distributed import Placement

    where = Placement(devices, nodes, threads, cache)
    structures = [structure] if structure else None
    _train(
        train_set,
        val_set,
        folder,
        config,
        seed=seed,
        structures=structures,
        where=where,
        dry_run=dry_run,
        extends=model,
    )


def _train(
    train_set: Path,
    val_set: Path,
    folder: Path,
    config: list[Path],
    *,
    seed: int | None,
    structures: list[str] | None,
    where: "Placement",
    dry_run: bool,
    extends: Path | None = None,
) -> None:
    """Train a model, or extend one."""
    from ssp_model.config.read import read_config
    from ssp_model.training.dry_run import describe_training
    from ssp_model.training.recipe import Recipe
    from ssp_model.training.train import TrainFiles, train_model

    settings = read_config(config)
    if extends is None and settings.train.extend:
        extends = _local_model(settings.train.extend)
    recipe = Recipe(
        settings.model,
        settings.train,
        settings.predict,
        settings.experiment,
        settings.seeds[0] if seed is None else seed,
        structures=tuple(structures) if structures else None,
        extends=extends,
    )
    if dry_run:
        for name, text in describe_training(train_set, recipe).items():
            typer.echo(f"{name}: {text}")
        return
    files = TrainFiles(
        train=train_set,
        val=val_set,
        model=folder / "model.safetensors",
        history=folder / "history.csv",
        events=folder / "events.jsonl",
        checkpoint=folder / "checkpoint",
        tracking=folder / "wandb",
    )
    train_model(files, recipe, tracking=settings.tracking, placement=where)


@typer_app.command(
    epilog=example("ssp predict model.safetensors plate1/*.czi --output predictions --channel 3"),
)
def predict(
    model: ModelFile,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES",
            help="Images: files, quoted patterns ('plate*/*.czi'), folders, or a table (.csv) with a column image.",
        ),
    ],
    output: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder for the predictions, which are named after the images.")
    ],
    channel: Channel = None,
    scene: Annotated[
        str | None,
        typer.Option(metavar="SCENE", show_default="all", help="Scene: its number (the first is 0) or name."),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            show_default="all",
            help="Time point (the first is 0), or z for a z-stack whose planes are stored as time points.",
        ),
    ] = None,
    structure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default="all that the model knows",
            help="Structure to predict. Repeat the option for several.",
        ),
    ] = None,
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="Z Y X", show_default="as the files say", help="Voxel size in um, in place of what the files say."
        ),
    ] = None,
    grid: Annotated[
        Literal["image", "model"],
        typer.Option(metavar="GRID", help="Voxels of the predictions: those of the image, or of the model's size."),
    ] = "image",
    format_: Annotated[
        Literal["ome-tiff", "ome-zarr"],
        typer.Option("--format", metavar="FORMAT", help="File format of the predictions: ome-tiff or ome-zarr."),
    ] = "ome-tiff",
    pixels: Annotated[
        Literal["float32", "uint16"],
        typer.Option(
            metavar="TYPE",
            help="float32: standardised intensities. uint16: each channel over its own range, which the file tells.",
        ),
    ] = "float32",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace predictions that are there. Files of other programs are never replaced."
        ),
    ] = False,
    overlap: Overlap = 0.5,
    flips: Flips = "",
    uncertainty: Annotated[
        Literal["flips", "seeds", "both"] | None,
        typer.Option(
            metavar="KIND",
            show_default="none",
            help="Add the uncertainty of each voxel: flips, seeds (with --also) or both.",
        ),
    ] = None,
    also: OtherModels = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", show_default="none", help="Calibrations of ssp calibrate or the workflow."),
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
    threads: Threads = ALL_CORES,
    max_memory: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="GB",
            show_default="2, or what a window needs",
            help="Memory that the process may take.",
        ),
    ] = None,
) -> None:
    """Predict structures in images.

    Each scene of an image gives one OME image: the transmitted light, then a channel for each structure. Predictions
    that are there already are skipped.
    """
    from ssp_model.prediction.batch import predict_images
    from ssp_model.prediction.outputs import prepare_folder
    from ssp_model.prediction.plan import OutputSettings
    from ssp_model.prediction.predictor import Predictor
    from ssp_model.prediction.requests import ImageRequest, find_requests
    from ssp_model.prediction.scratch import stopped_in_a_sentence
    from ssp_model.prediction.uncertainty import find_calibrations, make_ensemble

    if uncertainty is None and (also or calibration):
        raise InputError("--also and --calibration are for the uncertainty; add --uncertainty flips, seeds or both.")
    with stopped_in_a_sentence():
        requests = find_requests(images, ImageRequest(Path(), channel, scene, time, voxel_size))
        prepare_folder(output, [request.path for request in requests])
        predictor, *others = (
            Predictor(path, None, precision, threads, device=device, overlap=overlap, flips=flips)
            for path in (model, *(also or ()))
        )
        calibrations = find_calibrations(calibration) if calibration else ()
        ensemble = make_ensemble([predictor, *others], uncertainty, calibrations)
        memory = int(max_memory * 1e9) if max_memory else None
        settings = OutputSettings(tuple(structure or ()), grid, format_, pixels, memory, ensemble)
        outcomes = predict_images(predictor, requests, output, settings, overwrite=overwrite)
    raise typer.Exit(any(outcome.status == "failed" for outcome in outcomes))


@typer_app.command(epilog=example("ssp calibrate model.safetensors val.h5 calibration"))
def calibrate(
    model: ModelFile,
    val: ValSet,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for a table of each structure.")],
    uncertainty: Annotated[
        Literal["flips", "seeds", "both"],
        typer.Option(metavar="KIND", help="Uncertainty to calibrate: flips, seeds (with --also) or both."),
    ] = "flips",
    also: OtherModels = None,
    overlap: Overlap = 0.5,
    flips: Flips = "",
    precision: Precision = "auto",
    device: Device = "auto",
    threads: Threads = ALL_CORES,
) -> None:
    """Calibrate the uncertainty of predictions.

    The models predict validation images, to find which error a spread means. Give ssp predict the same models and
    options, and this folder as --calibration.
    """
    from ssp_model.data.dataset import Dataset
    from ssp_model.evaluation.uncertainty import calibrate
    from ssp_model.prediction.predictor import Predictor
    from ssp_model.prediction.uncertainty import Ensemble

    models = [
        Predictor(path, None, precision, threads, device=device, overlap=overlap, flips=flips)
        for path in (model, *(also or ()))
    ]
    ensemble = Ensemble(models, uncertainty)
    with Dataset(val) as dataset:
        structures = dataset.tasks
    for structure in structures:
        calibrate(ensemble, val, structure, folder / f"{structure}.csv")


@typer_app.command(
    epilog=example("ssp evaluate model.safetensors test.h5 scores --config config.yaml"),
)
def evaluate(
    model: ModelFile,
    test_set: Annotated[Path, typer.Argument(metavar="DATASET", help="Dataset with targets, such as test.h5.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for scores and predicted images.")],
    config: ConfigFiles,
    threads: Threads = ALL_CORES,
) -> None:
    """Score a model on the images of a dataset.

    The uncertainty (predict.uncertainty) is measured by the workflow only.
    """
    from ssp_model.config.read import read_config
    from ssp_model.evaluation.evaluate import evaluate_model
    from ssp_model.prediction.signal_predictor import SignalPredictor

    settings = read_config(config)
    predictor = SignalPredictor(model, settings.predict, settings.train.precision, threads)
    evaluate_model(
        predictor,
        test_set,
        folder,
        experiment=settings.experiment,
        scoring=settings.evaluate,
        save_images=settings.evaluate.save_images,
    )


@typer_app.command(epilog=example("ssp view scores/images/dna/lamin_b1_0007.ome.tif viewer.html"))
def view(
    stack: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="OME-TIFF that the evaluation wrote: signal, target, prediction."),
    ],
    page: Annotated[Path, typer.Argument(metavar="PAGE", help="HTML file to write.")],
) -> None:
    """Write a web page to look through a scored image."""
    from ssp_model.report.viewer import read_prediction, write_viewer

    write_viewer(read_prediction(stack), stack.name, page)


@typer_app.command(epilog=example('ssp inspect "plates/*.czi" --model model.safetensors --channel 3'))
def inspect(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES", help="Image files, folders of them, or quoted patterns.")
    ],
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Also read the intensities of each channel; this takes longer.")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", parser=_local_model, help="Also say whether this model can be used on the images."
        ),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            show_default="any that can be used",
            help="Number or name of the transmitted-light channel for the model; the first channel is 0.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")] = False,
) -> None:
    """Show what is in image files.

    Shown are axes, pixel sizes and channels, and what is odd. The exit status is 1 if a file can't be read.
    """
    from ssp_model.images.find import find_images
    from ssp_model.images.inspect import inspect_files

    if channel is not None and model is None:
        raise InputError("--channel says what a model would be given; add --model.")
    reports = list(inspect_files(find_images(files), pixels=pixels))
    checks = {}
    if model:
        from ssp_model.config.read import parse_section
        from ssp_model.config.schema import PredictConfig
        from ssp_model.models.model_file import read_info
        from ssp_model.prediction.check import check_file

        windows = parse_section(PredictConfig, {"patch": None, "overlap": 0.5, "flips": ""})
        known = read_info(model)
        checks = {report.path: check_file(report.path, known, windows, channel) for report in reports if report.scenes}
    if as_json:
        import json
        from dataclasses import asdict

        shown = [{**asdict(report), "model": [asdict(c) for c in checks.get(report.path, ())]} for report in reports]
        typer.echo(json.dumps({"files": shown}, indent=2, ensure_ascii=False))
    else:
        from ssp_model.images.inspect_table import console, describe_files

        parts = list(describe_files(reports))
        if checks:
            from ssp_model.prediction.check import describe_checks

            parts += describe_checks(checks)
        out = console()
        for part in parts:
            out.print(part)
    if any(report.error for report in reports):
        raise typer.Exit(1)


@typer_app.command(epilog=example("ssp info model.safetensors"))
def info(model: ModelFile) -> None:
    """Show what a model predicts and how it was trained."""
    from dataclasses import asdict

    import yaml

    from ssp_model.models.model_file import read_info

    shown = asdict(read_info(model))
    if signals := shown["signals"]:
        shown["signals"] = f"statistics of {len(signals['measures'])} of {signals['num_images']} training images"
    typer.echo(yaml.safe_dump(_plain(shown), sort_keys=False, default_flow_style=None), nl=False)


@typer_app.command(epilog=example("ssp export model.safetensors dna.onnx --structure dna"))
def export(
    model: ModelFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .onnx, or .zip for a package.")],
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME", help="onnx, or bioimageio for a package of bioimage.io.")
    ] = "onnx",
    structure: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Structure to export. Repeat the option for several in one file."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Export all structures, in one file.")] = False,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Image to test the file with.", show_default="a simulated image"),
    ] = None,
    channel: Channel = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the model's scores, for the documentation of a package."),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML file with authors, licence and more, for a package (docs/export.md)."),
    ] = None,
) -> None:
    """Export a model, for programs without this one.

    Each structure becomes an output of the file. The written file is tested against the model.
    """
    if format_ not in ("onnx", "bioimageio"):
        raise InputError(f"--format is {format_!r}; give onnx or bioimageio.")
    if bool(structure) == every:
        raise InputError("Give --structure (once or several times), or --all for all that the model predicts.")
    if format_ == "onnx" and (scores or about):
        raise InputError("--scores and --about are for the documentation of a package; add --format bioimageio.")
    if channel is not None and image is None:
        raise InputError("--channel says which channel of an image is tested; add --image.")
    try:
        from ssp_model.export.export import export_onnx, export_package, prepare_export
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is missing, which export needs; install the extra export (pip install '.[export]' in the "
            "project's folder)."
        ) from None

    prepared = prepare_export(model, structure or (), image, channel)
    if format_ == "onnx":
        export_onnx(prepared, out)
    else:
        export_package(prepared, out, scores=scores, about=about)


@typer_app.command(
    "model-card",
    epilog=example("ssp model-card model.safetensors --scores scores --about about.yaml --output README.md"),
)
def model_card(
    model: ModelFile,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of scores, as ssp evaluate and the workflow write it."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the datasets train.h5, val.h5, test.h5, to count the images."),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of a run's pages in the report, for pictures."),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML file of what only you know: licence, cells, microscope, ..."),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="Card to write. Pictures go into a folder beside it.")
    ] = Path("README.md"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card that is there.")] = False,
) -> None:
    """Write a model card, to give away with a model.

    It tells what the model predicts, how well, its limits, and how it was trained. It is Markdown for the Hugging Face
    Hub. What nobody has told is said to be unknown.
    """
    from ssp_model.report.model_card import find_datasets, make_card

    datasets = find_datasets(data) if data else None
    card = make_card(model, scores=scores, datasets=datasets, pictures=pictures, about=about)
    card.write(output, overwrite=overwrite)
    typer.echo(f"Written to {output}")


@typer_app.command(
    "import-checkpoint",
    epilog=example("ssp import-checkpoint model_best.p model.safetensors"),
)
def import_checkpoint(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Checkpoint (.p) of the code published with RepMode.")
    ],
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model file to write, such as model.safetensors.")],
) -> None:
    """Convert a checkpoint of the RepMode authors.

    The new model file predicts what the checkpoint predicts. Code within the checkpoint is never run.
    """
    from ssp_model.models import authors

    authors.import_checkpoint(checkpoint, model)


def _plain(value: object) -> object:
    """Turn tuples into lists, which YAML can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def app() -> None:
    """Run the command. An error that the user can correct is one sentence on stderr, with exit status 1."""
    try:
        typer_app()
    except InputError as error:
        sys.exit(f"ssp: {error}")
