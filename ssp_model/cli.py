"""The `ssp` command: parts of the workflow that are useful on their own."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ssp_model.errors import InputError
from ssp_model.log import log_to_terminal

typer_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # plain text keeps an example on its own line, and needs no import of rich
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
)
ALL_CORES = os.cpu_count() or 1

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file, such as model.safetensors.")]
ConfigFiles = Annotated[
    list[Path],
    typer.Option(metavar="FILE", help="Config file (YAML). Repeat the option: later files override earlier ones."),
]
Threads = Annotated[int, typer.Option(min=1, metavar="N", help="Number of CPU threads.")]


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
        Path, typer.Option(metavar="FILE", help="YAML file: structures, images, shape_zyx, voxel_size_um, seed.")
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


@typer_app.command(epilog=example("ssp train train.h5 val.h5 trial --config config.yaml"))
def train(
    train_set: Annotated[Path, typer.Argument(metavar="TRAIN", help="Training dataset, such as train.h5.")],
    val_set: Annotated[Path, typer.Argument(metavar="VAL", help="Validation dataset, such as val.h5.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for model, history and checkpoint.")],
    config: ConfigFiles,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed for weights, crops and their order.")] = 0,
    threads: Threads = 1,
    devices: Annotated[int, typer.Option(metavar="N", help="Processes on each node, a GPU each.")] = 1,
    nodes: Annotated[int, typer.Option(metavar="N", help="Number of nodes; more than 1 needs Slurm.")] = 1,
    cache: Annotated[
        str, typer.Option(metavar="PLACE", help="Where to read crops from: disk, scratch or memory.")
    ] = "disk",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, memory and steps, and train nothing.")
    ] = False,
) -> None:
    """Train a model, or resume a training.

    To resume a training that was stopped, run the same command again.
    """
    from ssp_model.config.read import read_config
    from ssp_model.training.distributed import Placement
    from ssp_model.training.dry_run import describe_training
    from ssp_model.training.train import Recipe, TrainFiles, train_model

    settings = read_config(config)
    if dry_run:
        for name, text in describe_training(train_set, settings.model, settings.train).items():
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
    recipe = Recipe(settings.model, settings.train, settings.predict, settings.experiment, seed)
    train_model(files, recipe, tracking=settings.tracking, placement=Placement(devices, nodes, threads, cache))


@typer_app.command(
    epilog=example("ssp predict model.safetensors image.czi prediction.ome.tif --channel 3"),
)
def predict(
    model: ModelFile,
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="Microscope image: CZI, OME-TIFF or another format of BioIO."),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="OME-TIFF to write, such as prediction.ome.tif.")],
    channel: Annotated[
        int, typer.Option(min=0, metavar="N", help="Channel of the transmitted light; the first channel is 0.")
    ],
    structure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default="all that the model knows",
            help="Structure to predict. Repeat the option for several.",
        ),
    ] = None,
    overlap: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of a window that the next window covers again, from 0 to below 1. Less is faster.",
        ),
    ] = 0.5,
    flips: Annotated[
        str,
        typer.Option(
            metavar="AXES",
            show_default="none",
            help="Also predict the image flipped along these axes (of zyx), and average. Each axis doubles the time.",
        ),
    ] = "",
    precision: Annotated[
        Literal["auto", "float32", "bf16", "fp16"],
        typer.Option(
            metavar="FORMAT",
            help="Number format: float32, bf16, fp16, or auto for the fastest that the hardware supports.",
        ),
    ] = "auto",
    threads: Threads = ALL_CORES,
) -> None:
    """Predict structures in one image.

    The output has the transmitted light as its first channel, then a channel for each structure.
    """
    from ssp_model.config.read import parse_section
    from ssp_model.config.schema import PredictConfig
    from ssp_model.prediction.predict_file import predict_file
    from ssp_model.prediction.predictor import Predictor

    config = parse_section(PredictConfig, {"patch": None, "overlap": overlap, "flips": flips})
    predict_file(Predictor(model, config, precision, threads), image, channel, structure or [], output)


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
    """Score a model on the images of a dataset."""
    from ssp_model.config.read import read_config
    from ssp_model.evaluation.evaluate import evaluate_model
    from ssp_model.prediction.predictor import Predictor

    settings = read_config(config)
    predictor = Predictor(model, settings.predict, settings.train.precision, threads)
    save_images = settings.evaluate.save_images
    evaluate_model(predictor, test_set, folder, experiment=settings.experiment, save_images=save_images)


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


@typer_app.command(epilog=example("ssp info model.safetensors"))
def info(model: ModelFile) -> None:
    """Show what a model predicts and how it was trained."""
    from dataclasses import asdict

    import yaml

    from ssp_model.models.model_file import read_info

    typer.echo(yaml.safe_dump(_plain(asdict(read_info(model))), sort_keys=False, default_flow_style=None), nl=False)


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
