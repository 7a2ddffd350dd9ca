"""The ablations by name: their settings, the paper's scores, and the table in the docs."""

from typing import get_args

import pytest

from ssp_model.config.ablations import ABLATIONS
from ssp_model.config.schema import Expert, RepModeConfig, parse_model
from ssp_model.nn.mode_conv import EXPERTS, SIZE
from tests.helpers import PROJECT


def yaml_text(settings):
    """Settings as a config file has them, each in code."""
    shown = {key: f"[{', '.join(value)}]" if isinstance(value, tuple) else value for key, value in settings.items()}
    return ", ".join(f"`{key}: {value}`" for key, value in shown.items())


def row(name):
    """The row of an ablation in the docs."""
    ablation = ABLATIONS[name]
    scores = " / ".join(f"{score:.4f}".removeprefix("0") for score in ablation.published)
    return f"| `{name}` | {ablation.title} | {yaml_text(ablation.settings)} | {scores} |"


def test_all_ablations_of_the_paper_are_there():
    assert list(ABLATIONS) == [
        *("decoder_only", "encoder_only", "without_1", "without_3", "without_5", "without_conv", "without_pool"),
        *("no_pooling", "pool_3", "pool_5", "gaussian_embedding", "two_layer_gate", "sigmoid_gate"),
    ]


@pytest.mark.parametrize("name", ABLATIONS)
def test_settings_are_those_of_the_method_and_differ_from_the_published(name):
    published = parse_model({"method": "repmode", "width": 32}).model_dump()
    settings = parse_model({"method": "repmode", "width": 32, **ABLATIONS[name].settings}).model_dump()
    changed = {key: value for key, value in settings.items() if value != published[key]}
    assert changed == ABLATIONS[name].settings


def test_no_two_are_the_same():
    settings = [ablation.settings for ablation in ABLATIONS.values()]
    assert all(settings.count(one) == 1 for one in settings)


def test_config_and_network_know_the_same_experts():
    assert set(get_args(Expert)) == set(SIZE)
    assert RepModeConfig.model_fields["experts"].default == EXPERTS


def test_the_docs_list_them():
    lines = (PROJECT / "docs/training.md").read_text().splitlines()
    first = lines.index("| name | what is changed | settings | MSE / MAE / R2 in the paper |") + 2
    assert lines[first : first + len(ABLATIONS) + 1] == [*map(row, ABLATIONS), ""]
