"""The `ssp` command: its help, the examples in it, and its errors."""

import shlex
import subprocess
import sys

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from ssp_model import cli
from ssp_model.errors import InputError

SSP = get_command(cli.typer_app)
COMMANDS = ["simulate", "train", "predict", "evaluate", "view", "info", "import-checkpoint"]


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
    assert str(values["output"]) == "prediction.ome.tif"
    assert values["channel"] == 3


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_explained(name):
    for parameter in SSP.commands[name].params:
        if parameter.name != "help":
            assert parameter.help.endswith(".")


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
