"""The configuration: its checks, and that schema, defaults, models and docs say the same."""

import json

import jsonschema
import pytest

from ssp_model.config import docs as config_module
from ssp_model.config.docs import TABLE_END, TABLE_START, docs_table, schema_json
from ssp_model.config.read import parse_config
from ssp_model.errors import InputError
from tests.helpers import PROJECT

SCHEMA = PROJECT / "workflow/schemas/config.schema.json"


def test_schema_and_docs_are_those_of_the_models():
    page = (PROJECT / "docs/config.md").read_text()
    table = page.partition(TABLE_START)[2].partition(TABLE_END)[0]
    assert SCHEMA.read_text() == schema_json(), "run: python -m ssp_model.config.docs"
    assert table == docs_table(PROJECT / "config.yaml"), "run: python -m ssp_model.config.docs"


def test_every_key_is_explained_and_has_its_default_in_config_yaml(config_values):
    def check(section, values):
        assert list(values) == list(section.model_fields)
        for key, field in section.model_fields.items():
            options = getattr(field.annotation, "__args__", (field.annotation,))
            inner = [kind for kind in options if isinstance(kind, type) and issubclass(kind, config_module.Section)]
            assert field.is_required(), f"{key} has a default besides config.yaml's"
            if inner:
                check(inner[0], values[key])
            else:
                assert field.description, key

    check(config_module.Config, config_values)


def test_schema_accepts_the_defaults_and_is_closed(config_values):
    schema = json.loads(schema_json())
    jsonschema.validate(config_values, schema)
    with pytest.raises(jsonschema.ValidationError, match="epoch"):
        jsonschema.validate(config_values | {"train": config_values["train"] | {"epoch": 1}}, schema)


def test_published_job(config_values):
    config = parse_config(config_values)
    assert len(config.structures) == 11
    assert len(config.tasks) == 12
    assert config.preprocess.scale == (1, 0.37241, 0.37241)
    assert (config.train.patch, config.train.epochs, config.train.batch_size) == ((32, 128, 128), 1000, 8)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("train.epoch", 3, r"train\.epoch is not a key \(known here: patch, epochs"),
        ("modle", {}, r"modle is not a key \(known here: experiment"),
        ("dna.quota.train", 0, r"dna\.quota\.train is 0 but should be greater than or equal to 1"),
        ("train.patch", [32, 100, 128], r"train\.patch\.1 is 100 but should be a multiple of 16"),
        ("train.precision", "half", r"train\.precision is 'half' but should be 'auto'"),
        ("preprocess.voxel_size_um", [1, 1, 1], "preprocess: give either scale or voxel_size_um"),
        ("collection.archives", "tom20.tar.gz", r"collection: archives must hold \{structure\}"),
        ("structures", ["tom20", "tom20"], "tom20 comes twice"),
        ("structures", ["tom20", "dna"], "dna comes twice"),
        ("structures", ["../tom20"], r"structures\.0 is '\.\./tom20'"),
        ("structures", ["signal"], "no structure can be called signal"),
        ("train.learning_rate", float("inf"), "train.learning_rate is inf but should be a finite number"),
        ("seeds", 0, r"seeds is 0 but should be a list\.$"),
        ("seeds", [], r"seeds is \[\] but should have at least one entry\.$"),
        ("seeds", ["x"], r"wrong: seeds\.0 is 'x' but should be a valid integer[^;]*$"),
        ("seeds", [1, 1], "seeds must all differ"),
        ("predict.overlap", 1.0, "predict.overlap is 1.0 but should be less than 1"),
        ("predict.flips", "q", "predict.flips is 'q' but should match pattern"),
        ("model", None, r"model is None but should hold keys \(method, width, \.\.\.\)\.$"),
        ("model", [], r"model is \[\] but should hold keys \(method, width, \.\.\.\)\.$"),
        ("model", "repmode", r"model is 'repmode' but should hold keys \(method, width, \.\.\.\)\.$"),
        ("model", {}, r"wrong: model\.method is missing\.$"),
        ("model", {"method": None}, r"model\.method is None but should be one of 'repmode', 'multi_head_last'\.$"),
        ("model", {"method": "x"}, r"model\.method is 'x' but should be one of 'repmode', 'multi_head_last'\.$"),
        (
            "model",
            {"method": "repmode", "width": 1, "kernel": 3},
            r"model\.kernel is not a key \(known here: method, width\)\.$",
        ),
        ("train", None, r"train is None but should hold keys \(patch, epochs, \.\.\.\)\.$"),
        ("dna", 3, r"dna is 3 but should hold keys \(name, quota, \.\.\.\)\.$"),
        ("collection.sha256", [], r"collection\.sha256 is \[\] but should hold keys\.$"),
        ("train.patch", 16, r"train\.patch is 16 but should be a list\.$"),
        ("train.patch", [16] * 4, r"train\.patch is \[16, 16, 16, 16\] but should have at most 3 entries\.$"),
        ("train.devices", 1, "train.devices is now a resource of the rule train_model, tasks_per_node"),
        ("train.nodes", 1, "train.nodes is now a resource of the rule train_model, nodes"),
        ("train.cache", "disk", "train.cache is now a resource of the rule train_model, cache"),
    ],
)
def test_wrong_values_are_named(config_values, path, value, sentence):
    section = config_values
    *parents, key = path.split(".")
    for parent in parents:
        section = section[parent]
    section[key] = value
    with pytest.raises(InputError, match=sentence):
        parse_config(config_values)


def test_a_key_that_is_a_number(config_values):
    with pytest.raises(InputError, match=r"wrong: 1 is not a key \(known here: experiment"):
        parse_config(config_values | {1: 2})


def test_missing_key_and_all_problems_at_once(config_values):
    del config_values["train"]["epochs"]
    config_values["model"]["width"] = "wide"
    with pytest.raises(InputError, match=r"model\.width is 'wide' .*; train\.epochs is missing"):
        parse_config(config_values)
