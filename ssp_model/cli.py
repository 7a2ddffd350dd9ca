"""The `ssp` command: what is useful outside the workflow."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ssp_model.errors import InputError
from ssp_model.log import log_to_terminal

typer_app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)


@typer_app.callback()
def main() -> None:
    """Predict subcellular structures from label-free 3D microscopy."""
    log_to_terminal()


@typer_app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(help="Folder to write the collection to.")],
    config: Annotated[Path, typer.Option(help="YAML file: structures, images, shape_zyx, seed ...")],
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
) -> None:
    """Make a small simulated collection in the layout of the Allen collection."""
    from pydantic import TypeAdapter, ValidationError

    from ssp_model.config.read import read_yaml
    from ssp_model.simulation.simulate import SimulationConfig, simulate_collection

    values = read_yaml(config)
    unknown = sorted(values.keys() - SimulationConfig.__dataclass_fields__.keys())
    if unknown:
        known = ", ".join(SimulationConfig.__dataclass_fields__)
        raise InputError(f"{config}: {', '.join(unknown)} is not a key (known here: {known}).")
    try:
        settings = TypeAdapter(SimulationConfig).validate_python(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"{config} is no config of a simulation: {problems}.") from None
    simulate_collection(directory, settings, workers)


@typer_app.command()
def train(
    train_set: Annotated[Path, typer.Argument(help="The training dataset, train.h5.")],
    val_set: Annotated[Path, typer.Argument(help="The validation dataset, val.h5.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write model, history and state to.")],
    config: Annotated[list[Path], typer.Option(help="Configuration; may be repeated, each overlays those before.")],
    seed: Annotated[int, typer.Option(help="Of weights, crops and order.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    dry_run: Annotated[bool, typer.Option(help="Only tell parameters, memory and steps.")] = False,
) -> None:
    """Train a model, or go on with a training that was stopped."""
    from ssp_model.config.read import read_config
    from ssp_model.training.dry_run import describe_training
    from ssp_model.training.train import TrainFiles, train_model

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
        state=folder / "state",
        tracking=folder / "wandb",
    )
    sections = (settings.model, settings.train, settings.predict, settings.tracking)
    train_model(files, *sections, f"{settings.experiment}-{seed}", seed, threads)


@typer_app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model.safetensors.")],
    image: Annotated[Path, typer.Argument(help="A microscope image, in any format that BioIO reads.")],
    output: Annotated[Path, typer.Argument(help="The OME-TIFF to write.")],
    channel: Annotated[int, typer.Option(help="The transmitted-light channel, counted from 0.")],
    structure: Annotated[list[str] | None, typer.Option(help="What to predict; may be repeated; all without.")] = None,
    overlap: Annotated[float, typer.Option(help="Overlap of neighbouring windows, 0 to below 1.")] = 0.5,
    flips: Annotated[str, typer.Option(help="Axes, of zyx, along which to predict flipped too, and average.")] = "",
    precision: Annotated[str, typer.Option(help="auto, float32, bf16 or fp16.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.")] = os.cpu_count() or 1,
) -> None:
    """Predict structures in one image."""
    from ssp_model.config.read import parse_section
    from ssp_model.config.schema import PredictConfig
    from ssp_model.prediction.predict_file import predict_file

    config = parse_section(PredictConfig, {"patch": None, "overlap": overlap, "flips": flips})
    predict_file(model, image, channel, structure or [], output, config, precision, threads)


@typer_app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.safetensors.")],
    test_set: Annotated[Path, typer.Argument(help="A dataset of this project, such as test.h5.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write scores and images to.")],
    config: Annotated[list[Path], typer.Option(help="Configuration; may be repeated, each overlays those before.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = os.cpu_count() or 1,
) -> None:
    """Score a model on the images of a dataset."""
    from ssp_model.config.read import read_config
    from ssp_model.evaluation.evaluate import evaluate_model

    settings = read_config(config)
    sections = (settings.train.precision, settings.predict, settings.evaluate.save_images)
    evaluate_model(model, test_set, folder, *sections, threads)


@typer_app.command()
def view(
    stack: Annotated[Path, typer.Argument(help="An OME-TIFF of the evaluation: signal, target, prediction.")],
    page: Annotated[Path, typer.Argument(help="The HTML file to write.")],
) -> None:
    """Make a volume viewer of one scored image, to open in a browser."""
    from ssp_model.report.viewer import read_prediction, write_viewer

    write_viewer(read_prediction(stack), stack.name, page)


@typer_app.command()
def info(model: Annotated[Path, typer.Argument(help="A model.safetensors.")]) -> None:
    """Show what a model file says of its model."""
    from dataclasses import asdict

    from ssp_model.models.model_file import read_info

    typer.echo(yaml.safe_dump(_plain(asdict(read_info(model))), sort_keys=False, default_flow_style=None), nl=False)


@typer_app.command("import-checkpoint")
def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of the authors' training (.p).")],
    model: Annotated[Path, typer.Argument(help="The model.safetensors to write.")],
) -> None:
    """Turn a checkpoint of the authors' RepMode into a model file."""
    from ssp_model.models import authors

    authors.import_checkpoint(checkpoint, model)


def _plain(value: object) -> object:
    """Tuples as lists, which YAML has."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def app() -> None:
    """Run the command; a mendable error is one sentence on stderr and exit status 1."""
    try:
        typer_app()
    except InputError as error:
        sys.exit(f"ssp: {error}")
