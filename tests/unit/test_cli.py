"""The `ssp` command: its help, the examples in it, and its errors."""

import json
import resource
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import typer
from safetensors.torch import load_file, save_file
from typer.main import get_command
from typer.testing import CliRunner

from ssp_model import cli
from ssp_model.errors import InputError
from ssp_model.files import sha256_of
from ssp_model.images.description import PixelSize
from ssp_model.images.ome_tiff import write_channels
from ssp_model.models.model_file import FORMAT, ModelInfo, load_model, make_network, read_info, save_model
from ssp_model.napari_plugin.layer import Axes, LayerSource
from ssp_model.napari_plugin.prediction import Job, Listener, describe_model, predict_layer
from tests.helpers import PROJECT, make_datasets
from tests.httpserver import FileServer

SSP = get_command(cli.typer_app)
OLD_MODEL = PROJECT / "tests/golden/models/0.1.0/model.safetensors"
COMMANDS = [
    "simulate",
    "preflight",
    "train",
    "extend",
    "predict",
    "calibrate",
    "evaluate",
    "view",
    "inspect",
    "info",
    "export",
    "model-card",
    "import-checkpoint",
]


def help_of(*command: str) -> str:
    shown = CliRunner().invoke(cli.typer_app, [*command, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert shown.exit_code == 0
    return shown.output


def parse(line: str) -> typer.Context:
    """Parse a line as the command does, without running it."""
    program, name, *arguments = shlex.split(line)
    assert program == "ssp"
    context = SSP.make_context(program, [name, *arguments])
    return SSP.commands[name].make_context(name, arguments, parent=context)


def test_help_fits_a_screen_and_shows_commands_in_their_order():
    lines = help_of().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    start = lines.index("Commands:") + 1
    shown = lines[start : lines.index("", start)]
    # one line each
    assert [line.split()[0] for line in shown] == COMMANDS == list(SSP.commands)
    assert not any(line.endswith("...") for line in shown)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_understood(name):
    examples = [line.strip() for line in help_of(name).splitlines() if line.startswith("    ssp ")]
    assert examples
    for example in examples:
        assert parse(example).info_name == name


def test_an_example_gives_the_values_it_shows():
    (example,) = (line for line in help_of("predict").splitlines() if line.startswith("    ssp "))
    values = parse(example).params
    assert (values["images"], values["output"]) == (["plate1/*.czi"], "predictions")
    assert values["channel"] == "3"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_explained(name):
    for parameter in SSP.commands[name].params:
        if parameter.name != "help":
            assert parameter.help.endswith(".")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "Give --structure (once or several times), or --all"),
        (["--all", "--structure", "dna"], "Give --structure (once or several times), or --all"),
        (["--all", "--format", "tensorflow"], "--format is 'tensorflow'; give onnx or bioimageio."),
        (["--all", "--about", "about.yaml"], "add --format bioimageio"),
        (["--all", "--channel", "3"], "--channel says which channel of an image is tested; add --image."),
    ],
)
def test_options_of_an_export_that_do_not_fit_are_refused(options, reason):
    ran = run("export", str(OLD_MODEL), "out.onnx", *options)
    assert isinstance(ran.exception, InputError)
    assert reason in str(ran.exception)


def test_an_export_without_its_packages_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [name for name in sys.modules if name.startswith("ssp_model.export.")]:
        monkeypatch.delitem(sys.modules, name)
    ran = run("export", str(OLD_MODEL), "out.onnx", "--all")
    assert str(ran.exception).startswith("onnx is missing, which export needs; install the extra export (pip install")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom ssp_model import cli\ntry: cli.typer_app(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    heavy = {"bioio", "h5py", "jinja2", "numpy", "pandas", "pydantic", "requests", "rich", "scipy", "torch", "yaml"}
    assert heavy & set(ran.stdout.split()) == set()


def test_an_input_error_is_one_sentence_with_status_1(monkeypatch):
    def fail() -> None:
        raise InputError("a.czi has no channel 9; it has 7.")

    monkeypatch.setattr(cli, "typer_app", fail)
    with pytest.raises(SystemExit) as raised:
        cli.app()
    assert raised.value.code == "ssp: a.czi has no channel 9; it has 7."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("imagse: 3", "imagse is not a key; the keys are structures, images"),
        (
            "structures: [tom20]\nimages: many",
            "does not describe a simulation: images: Input should",
        ),
    ],
)
def test_a_wrong_config_of_a_simulation_is_told_plainly(tmp_path, text, sentence):
    config = tmp_path / "collection.yaml"
    config.write_text(text)
    with pytest.raises(InputError, match=sentence):
        cli.simulate(tmp_path / "collection", config)


def test_a_simulated_collection_is_written(tmp_path):
    config = tmp_path / "collection.yaml"
    config.write_text("structures: [zo1]\nimages: 1\nshape_zyx: [6, 32, 32]\n")
    ran = CliRunner().invoke(cli.typer_app, ["simulate", str(tmp_path / "out"), "--config", str(config)])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "out/zo1.tar.gz").exists()


@pytest.fixture
def stack(tmp_path):
    """An image of two channels with sizes of its own."""
    sizes = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.3, "PhysicalSizeX": 0.3}
    voxels = np.random.default_rng(0).integers(100, 900, (2, 4, 20, 30), np.uint16)
    metadata = {"axes": "CZYX", **sizes}
    tifffile.imwrite(tmp_path / "a.ome.tif", voxels, ome=True, photometric="minisblack", metadata=metadata)
    return tmp_path / "a.ome.tif"


def run(*arguments):
    return CliRunner().invoke(cli.typer_app, list(map(str, arguments)))


def test_what_is_in_files_is_shown(stack):
    ran = run("inspect", stack, "--pixels")
    assert ran.exit_code == 0, ran.output
    assert "0.3    0.3    0.3" in ran.output
    assert "median" in ran.output


def test_what_is_in_files_is_one_json_document(stack, model, tmp_path):
    ran = run("inspect", stack, tmp_path / "b.czi", "--json", "--model", model, "--channel", 1)
    assert ran.exit_code == 1
    whole, missing = json.loads(ran.stdout)["files"]
    assert list(whole) == ["path", "format", "num_bytes", "scenes", "error", "model"] == list(missing)
    assert whole["scenes"][0]["pixel_size_um"] == [0.3, 0.3, 0.3]
    assert whole["model"][0]["channels"] == [1]
    assert whole["model"][0]["num_windows"] == 1 * 2 * 3
    assert missing["error"].endswith("b.czi does not exist; check the path.")
    assert (missing["scenes"], missing["model"]) == ([], [])


def test_a_model_is_judged_in_the_table(stack, model):
    ran = run("inspect", stack, "--model", model, "--channel", "5")
    assert ran.exit_code == 0
    assert "has no channel 5; it has channel 0, channel 1" in ran.output


def test_a_channel_without_a_model_is_refused(stack):
    assert "add --model" in str(run("inspect", stack, "--channel", "1").exception)


def test_files_are_inspected_without_torch(stack):
    code = (
        "import sys\nfrom ssp_model import cli\n"
        f"cli.typer_app(['inspect', {str(stack)!r}], standalone_mode=False)\nprint(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "bioio", "zarr", "pylibCZIrw", "pandas"} & set(ran.stdout.split()) == set()


@pytest.mark.parametrize(("target", "status"), [(1, 0), (2, 1)])
def test_a_table_of_samples_is_checked(stack, tmp_path, monkeypatch, target, status):
    monkeypatch.chdir(tmp_path)
    lines = [f"a{i}.ome.tif,tom20,0,{target}" for i in range(4)]
    for i in range(4):
        (tmp_path / f"a{i}.ome.tif").write_bytes(stack.read_bytes() + bytes(i))
    (tmp_path / "samples.csv").write_text("\n".join(["image,structure,signal,target", *lines]))
    (tmp_path / "mine.yaml").write_text("structures: [tom20]\nsplit: {train_fraction: 0.7, fit_fraction: 0.6}\n")
    config = ["--config", PROJECT / "config.yaml", "--config", "mine.yaml"]
    ran = run("preflight", "samples.csv", *config, "--workers", 1)
    assert ran.exit_code == status, ran.output
    assert (f"{4 * status} errors, 0 warnings") in ran.output
    assert len(pd.read_csv("preflight/problems.csv")) == 4 * status
    assert ("has no channel 2" in (tmp_path / "preflight/problems.html").read_text()) == bool(status)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """A folder with a model, an image, and an image that can't be predicted."""
    monkeypatch.chdir(tmp_path)
    settings = {"width": 1}
    info = ModelInfo(("tom20", "zo1"), "repmode", settings, (16, 16, 16), (0.3, 0.3, 0.3), {}, {}, {})
    save_model(make_network("repmode", 2, settings), info, "model.safetensors")
    raw = np.random.default_rng(0).normal(size=(2, 6, 20, 24)).astype(np.float32)
    write_channels("good.tif", list(raw), ["dna", "light"], (0.3, 0.2, 0.2))
    Path("bad.tif").touch()
    return tmp_path


@pytest.mark.parametrize(("option", "seed"), [((), 7), (("--seed", 3), 3)])
def test_a_training_has_the_seed_of_the_config(in_folder, monkeypatch, option, seed):
    recipes = []
    monkeypatch.setattr("ssp_model.training.train.train_model", lambda *arguments, **_: recipes.append(arguments))
    Path("mine.yaml").write_text("seeds: [7, 8]\n")
    config = ("--config", PROJECT / "config.yaml", "--config", "mine.yaml")
    ran = run("train", "train.h5", "val.h5", "out", *config, *option)
    assert ran.exit_code == 0, ran.output
    (arguments,) = recipes
    assert [recipe.seed for recipe in arguments if hasattr(recipe, "seed")] == [seed]


def test_statistics_of_training_images_are_shown_in_short(in_folder):
    network, info = load_model("model.safetensors")
    signals = {"version": 1, "num_images": 9, "measures": [{"contrast": 0.5}] * 2}
    save_model(network, replace(info, signals=signals), "model.safetensors")
    assert "signals: statistics of 2 of 9 training images\n" in run("info", "model.safetensors").output


def predict(*arguments: str) -> tuple[int, str]:
    """The exit status, and what is said of a wrong option."""
    try:
        ran = CliRunner().invoke(cli.typer_app, ["predict", "model.safetensors", *arguments], catch_exceptions=False)
    except InputError as error:
        return 1, str(error)
    return ran.exit_code, ran.output


def test_one_bad_image_gives_status_1_and_the_others(in_folder, caplog):
    status, _ = predict("bad.tif", "good.tif", "--output", "out", "--channel", "light", "--format", "ome-zarr")
    assert status == 1
    assert [path.name for path in Path("out").iterdir()] == ["good.ome.zarr"]
    assert "failed: bad.tif is empty (0 bytes), not a microscope image." in caplog.messages
    assert predict("good.tif", "--output", "out", "--channel", "light", "--format", "ome-zarr")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["good.tif", "out.ome.tif"], "Missing option '--output'"),
        (
            ["good.tif", "--output", "out", "--precision", "fp8"],
            "'fp8' is not one of 'auto', 'float32', 'bf16', 'fp16'",
        ),
        (["good.tif", "--output", "out", "--threads", "0"], "Input should be greater than or equal to 1"),
        (["good.tif", "--output", "out", "--overlap", "1"], "overlap is 1 but should be less than 1"),
        (["good.tif", "--output", "out", "--device", "cuda:7"], "There is no device 'cuda:7' on this machine"),
        (["good.tif", "--output", "out", "--structure", "golgi"], "does not predict 'golgi'; it predicts tom20, zo1."),
        (["good.tif", "--output", "good.tif"], "good.tif is not a folder"),
        (["good.tif", "--output", ""], "The name of the output folder is empty"),
        (
            ["good.tif", "--output", "out", "--calibration", "x"],
            "--also and --calibration are for the uncertainty; add",
        ),
        (
            ["good.tif", "--output", "out", "--uncertainty", "seeds"],
            "The uncertainty seeds needs several models, but only model.safetensors is given; name the others with",
        ),
        (
            ["good.tif", "--output", "out", "--uncertainty", "seeds", "--also", "model.safetensors"],
            "model.safetensors is the same model as model.safetensors, so they never differ; give different models.",
        ),
        (
            ["good.tif", "--output", "out", "--uncertainty", "flips", "--calibration", "none"],
            "none has no calibration; give a folder of tables",
        ),
        (["*.czi", "--output", "out"], "*.czi matches no image"),
        (["good.tif", "--output", "out", "--voxel-size", "0.3", "0", "0.1"], "The voxel size is (0.3, 0.0, 0.1) but"),
    ],
)
def test_what_can_not_be_is_told_in_a_sentence_and_nothing_is_written(in_folder, arguments, sentence):
    before = sorted(in_folder.iterdir())
    status, said = predict(*arguments)
    assert status > 0
    assert sentence in " ".join(said.replace("│", " ").split())
    assert [path for path in sorted(in_folder.iterdir()) if path.name != "out"] == before
    assert not list(in_folder.glob("out/*"))


NOT_MODELS = {
    "missing": "can't be read as a model file (No such file",
    "empty": "can't be read as a model file (",
    "text": "can't be read as a model file (",
    "web page": "can't be read as a model file (",
    "pickle": "can't be read as a model file (",
    "cut off": "can't be read as a model file (",
    "folder": "is not a file; give a model.safetensors that this project wrote",
    "foreign": "is not an ssp_model model file (no format entry in its metadata)",
    "damaged": "is a damaged model file (its entry 'patch' is [16, 16, 7])",
    "newer format": "was written by a later version of ssp_model (format 'ssp_model 9'",
    "newer version": "was written by a later version of ssp_model, 99.0 (here is ",
    "web address": "has no checksum, and without one a changed or damaged file would go unnoticed; add #sha256=",
    "other address": "ftp:// is not supported for a model",
    "a weight less": "is a damaged model file (its weights are not those of repmode: ",
    "a weight more": "is a damaged model file (its weights are not those of repmode: ",
    "other weights": "is a damaged model file (its weights are not those of repmode: ",
}
"""What is given as a model, and what is said. The last three are known only to who reads the weights."""


def make_not_a_model(kind: str, model: Path) -> str:
    """Make what is no model of the model, and return its path or address."""
    content = model.read_bytes()
    weights = load_file(model)
    info = json.loads(json.dumps(vars(read_info(model))))
    changed = {
        "damaged": {"format": FORMAT, "info": json.dumps(info | {"patch": [16, 16, 7]})},
        "newer format": {"format": "ssp_model 9", "info": json.dumps(info)},
        "newer version": {"format": FORMAT, "info": json.dumps(info | {"version": "99.0", "colour": "red"})},
        "foreign": {},
    }
    last = list(weights)[-1]
    damaged = {
        "a weight less": {name: value for name, value in weights.items() if name != last},
        "a weight more": weights | {"more": weights[last].clone()},
        "other weights": weights | {last: torch.zeros(7)},
    }
    match kind:
        case "missing":
            return "none.safetensors"
        case "web address":
            return "https://host/model.safetensors"
        case "other address":
            return "ftp://host/model.safetensors"
        case "folder":
            Path("model").mkdir()
            return "model"
        case "empty" | "text" | "web page" | "cut off":
            contents = {"empty": b"", "text": b"notes", "web page": b"<!DOCTYPE html>\n<html></html>\n"}
            Path("other.safetensors").write_bytes(contents.get(kind, content[:-9]))
        case "pickle":
            torch.save(weights, "other.safetensors")
        case _:
            sound = {"format": FORMAT, "info": json.dumps(info)}
            save_file(damaged.get(kind, weights), "other.safetensors", changed.get(kind, sound))
    return "other.safetensors"


DOORS = {
    "info": ["info", "MODEL"],
    "inspect": ["inspect", "good.tif", "--model", "MODEL"],
    "predict": ["predict", "MODEL", "good.tif", "--output", "out", "--channel", "light"],
    "predict --also": [
        *("predict", "model.safetensors", "good.tif", "--output", "out", "--uncertainty", "both", "--also", "MODEL")
    ],
    "calibrate": ["calibrate", "MODEL", "val.h5", "out"],
    "evaluate": ["evaluate", "MODEL", "test.h5", "out", "--config", "config.yaml"],
    "extend": ["extend", "MODEL", "train.h5", "val.h5", "out", "--config", "config.yaml"],
    "extend --dry-run": ["extend", "MODEL", "train.h5", "val.h5", "out", "--config", "config.yaml", "--dry-run"],
    "export": ["export", "MODEL", "out.onnx", "--all"],
    "export a package": ["export", "MODEL", "out.zip", "--all", "--format", "bioimageio"],
    "model-card": ["model-card", "MODEL", "--output", "out/README.md"],
    "train": ["train", "train.h5", "val.h5", "out", "--config", "config.yaml", "--config", "extend.yaml"],
}
"""Commands that take a model, with MODEL in its place; the training takes it from extend.yaml."""

READ_WEIGHTS = ["predict", "calibrate", "evaluate", "export", "export a package", "model-card"]
"""Commands that do so with the datasets of these tests."""


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return make_datasets(tmp_path_factory.mktemp("datasets"), {"tom20": (0, 1), "zo1": (0, 1)})


@pytest.fixture
def before_doors(in_folder, datasets):
    for path in (*datasets.values(), PROJECT / "config.yaml"):
        shutil.copy(path, in_folder)
    return in_folder


@pytest.mark.parametrize(
    ("kind", "door"),
    [(kind, door) for kind in NOT_MODELS for door in DOORS if door in READ_WEIGHTS or "weight" not in kind],
)
def test_each_command_refuses_what_is_no_model_in_a_sentence(before_doors, kind, door):
    model = make_not_a_model(kind, Path("model.safetensors"))
    Path("extend.yaml").write_text(f"train: {{extend: '{model}'}}")
    ran = run(*(model if word == "MODEL" else word for word in DOORS[door]))
    assert isinstance(ran.exception, InputError), ran.output
    assert str(ran.exception).startswith(model)
    assert NOT_MODELS[kind] in str(ran.exception)
    assert not Path("out/model.safetensors").exists()
    assert not list(Path("out").rglob("*.tif"))


def predict_in_napari(model: str) -> None:
    """Do as the widget does: the file is described when it is chosen, and its weights are read later."""
    source = LayerSource("light", np.zeros((1, 9, 20, 40)), Axes(("time", "z")), PixelSize(), "", {})
    describe_model(model)
    next(predict_layer(Job(source, 0, model, ("tom20",), device="cpu"), Listener(print, print, print, list)))


@pytest.mark.parametrize("kind", NOT_MODELS)
def test_the_plugin_of_napari_refuses_what_is_no_model_in_a_sentence(in_folder, kind):
    model = make_not_a_model(kind, Path("model.safetensors"))
    with pytest.raises(InputError) as error:
        predict_in_napari(model)
    assert str(error.value).startswith(model)
    assert NOT_MODELS[kind] in str(error.value)
    assert "\n" not in str(error.value)


def test_predictions_are_calibrated_by_a_command(before_doors):
    arguments = ("model.safetensors", "val.h5", "calibration", "--flips", "x", "--overlap", "0")
    assert run("calibrate", *arguments).exit_code == 0
    assert sorted(path.stem for path in Path("calibration").iterdir()) == ["tom20", "zo1"]
    options = ["--channel", "light", "--uncertainty", "flips", "--calibration", "calibration", "--overlap", "0"]
    command = ["predict", "model.safetensors", "good.tif", "--output", "out", *options]
    assert str(run(*command).exception).startswith("calibration/tom20.csv is the calibration of other predictions")
    assert run(*command, "--flips", "x").exit_code == 0
    with tifffile.TiffFile("out/good.ome.tif") as tiff:
        assert "expected error by spread, calibrated on 1 image" in tiff.ome_metadata


@pytest.mark.parametrize("door", ["info", "inspect", "predict"])
def test_each_command_takes_the_address_of_a_model(before_doors, door, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(before_doors / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer(before_doors) as server:
        address = f"{server.url('model.safetensors')}#sha256={sha256_of('model.safetensors')}"
        ran = run(*(address if word == "MODEL" else word for word in DOORS[door]))
        assert ran.exit_code == 0, ran.exception
        assert [request.status for request in server.requests] == [200]
        # the same as of the path
        if door != "predict":
            assert run(*("model.safetensors" if word == "MODEL" else word for word in DOORS[door])).stdout == ran.stdout


def test_an_image_is_never_taken_for_the_output(in_folder):
    """What a shell makes of `*.tif`, when it finds two."""
    shutil.copy("good.tif", "raw.tif")
    raw = Path("raw.tif").read_bytes()
    for arguments in (["good.tif", "raw.tif"], ["good.tif", "--output", "raw.tif"]):
        assert predict(*arguments)[0] > 0
        assert Path("raw.tif").read_bytes() == raw


def test_a_full_disk_is_a_sentence_and_leaves_nothing(in_folder):
    """No file may be larger than 20 kB."""
    code = "from ssp_model.cli import app; app()"
    paths = [in_folder / "model.safetensors", in_folder / "good.tif", "--output", in_folder / "out"]
    ran = subprocess.run(
        [sys.executable, "-c", code, "predict", *paths, "--channel", "1"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith(
        f"failed: {in_folder}/out/good.ome.tif can't be written, because the disk of {in_folder}/out is"
    )
    assert "Traceback" not in ran.stderr
    assert list(Path("out").iterdir()) == []


def test_a_model_card_is_written(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "about.yaml").write_text("name: Mine\n")
    ran = run("model-card", model, "--about", "about.yaml")
    assert ran.exit_code == 0, ran.output
    assert ran.output == "Written to README.md\n"
    assert "# Mine\n" in (tmp_path / "README.md").read_text()
    again = run("model-card", model)
    assert isinstance(again.exception, InputError)
    assert "README.md is there already" in str(again.exception)
    assert run("model-card", model, "--overwrite", "--output", "README.md").exit_code == 0
    assert "# RepMode, seed 3\n" in (tmp_path / "README.md").read_text()
    assert "has no datasets" in str(run("model-card", model, "--data", tmp_path, "--output", "x.md").exception)
