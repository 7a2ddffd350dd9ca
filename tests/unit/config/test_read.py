"""The configuration: its checks, and that schema, defaults, models and docs say the same."""

import json
import re
from copy import deepcopy
from datetime import date
from typing import get_args

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.io import PeriodicityDetector

from ssp_model.config import docs as config_module
from ssp_model.config.docs import TABLE_END, TABLE_START, docs_table, schema_json
from ssp_model.config.read import parse_config, parse_section, read_config, read_yaml
from ssp_model.config.schema import Config, ModelConfig, PredictConfig, Section, sections_of
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
        # what one method alone has, has its default beside its description
        own = {key for key, field in section.model_fields.items() if not field.is_required()}
        assert own == set() or section in get_args(ModelConfig)
        assert [*values, *(key for key in section.model_fields if key in own)] == list(section.model_fields)
        for key, field in section.model_fields.items():
            options = getattr(field.annotation, "__args__", (field.annotation,))
            inner = [kind for kind in options if isinstance(kind, type) and issubclass(kind, config_module.Section)]
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


def changed(values: dict, key: str, value: object) -> dict:
    """The config with another value at a key such as `train.epochs`."""
    section = values
    *parents, last = key.split(".")
    for parent in parents:
        section = section[parent]
    section[last] = value
    return values


TOO_LONG = "should have at most 100 characters"
METHODS = (
    "should be one of 'repmode', 'multi_net', 'multi_head_decoder', 'multi_head_last', 'condnet', 'tsns', 'pipo_fan', "
    "'dodnet', 'tgnet'"
)
CHARACTERS = "should have only the characters A-Z, a-z, 0-9, _ and -, and begin with a letter or a digit"


UNCERTAIN = (
    "predict.uncertainty is '{kind}', which needs several models, but there is only one of seeds; give several seeds, "
    "such as seeds: [0, 1, 2], or flips in its place."
)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("modle", {}, "modle is not a key (known here: experiment, seeds, "),
        ("train.epoch", 3, "train.epoch is not a key (known here: patch, epochs, "),
        ("dna.quota.train", 0, "dna.quota.train is 0 but should be 1 or more."),
        ("train.patch", [32, 100, 128], "entry 2 of train.patch is 100 but should be a multiple of 16."),
        ("train.patch", [32, 0, 128], "entry 2 of train.patch is 0 but should be more than 0."),
        ("train.precision", "half", "train.precision is 'half' but should be 'auto', 'float32', 'bf16' or 'fp16'."),
        ("preprocess.voxel_size_um", [1, 1, 1], "preprocess: give either scale or voxel_size_um"),
        ("collection.archives", "tom20.tar.gz", "collection: archives must hold {structure}"),
        ("collection.archives", "", "collection.archives is '' but should not be empty."),
        ("collection.sha256", [], "collection.sha256 is [] but should hold keys."),
        ("collection.sha256", {"a": "0"}, "collection.sha256.a is '0' but should be 64 characters of 0-9 and a-f."),
        (
            "collection.sha256",
            {1: "0" * 64},
            "collection.sha256.1 is 1 but should be text: put it in quotes, in a config file.",
        ),
        ("structures", ["tom20", "tom20"], "tom20 comes twice"),
        ("structures", ["tom20", "dna"], "dna comes twice"),
        ("structures", ["../tom20"], f"entry 1 of structures is '../tom20' but {CHARACTERS}."),
        ("structures", ["signal"], "no structure can be called signal"),
        ("experiment", "x" * 101, f"experiment is '{'x' * 101}' but {TOO_LONG}."),
        ("experiment", "a" * 20, f"experiment is '{'a' * 20}' but should not end in 'a' 20 times or more, because"),
        ("structures", ["x" + "ab" * 20], "but should not end in 'ab' 20 times or more, because Snakemake refuses"),
        ("experiment", "data", "the experiment can't be called data: a page of the report has this name"),
        ("experiment", "benchmark", "the experiment can't be called benchmark: a page of the report has this name"),
        ("train.learning_rate", float("inf"), "train.learning_rate is inf but should be a finite number."),
        ("train.learning_rate", 0, "train.learning_rate is 0 but should be more than 0."),
        ("split.fit_fraction", 1, "split.fit_fraction is 1 but should be less than 1."),
        ("seeds", 0, "seeds is 0 but should be a list, such as [0, 1]."),
        ("structures", "tom20", "structures is 'tom20' but should be a list, such as [tom20, zo1]."),
        ("seeds", [], "seeds is [] but should have at least one entry."),
        ("seeds", ["x"], "wrong: entry 1 of seeds is 'x' but should be a whole number."),
        ("seeds", [0, -1], "wrong: entry 2 of seeds is -1 but should be 0 or more."),
        ("seeds", [2**32], "wrong: entry 1 of seeds is 4294967296 but should be less than 4294967296."),
        ("seeds", [1, 1], "seeds must all differ"),
        ("predict.flips", "q", "predict.flips is 'q' but should be some of the letters zyx, in this order."),
        (
            "predict.uncertainty",
            "dropout",
            "predict.uncertainty is 'dropout' but should be 'flips', 'seeds' or 'both'.",
        ),
        ("predict.uncertainty", True, "predict.uncertainty is true but should be 'flips', 'seeds' or 'both'."),
        ("predict.uncertainty", "seeds", UNCERTAIN.format(kind="seeds")),
        ("predict.uncertainty", "both", UNCERTAIN.format(kind="both")),
        ("model", None, "model is null but should hold keys (method, width, ...)."),
        ("model", [], "model is [] but should hold keys (method, width, ...)."),
        ("model", "repmode", "model is 'repmode' but should hold keys (method, width, ...)."),
        ("model", {}, "wrong: model.method is missing."),
        ("model", {"method": None}, f"model.method is null but {METHODS}."),
        ("model", {"method": "x"}, f"model.method is 'x' but {METHODS}."),
        (
            "model",
            {"method": "repmode", "width": 1, "kernel": 3},
            "model.kernel is not a key (known here: method, width, mode_in, experts, ",
        ),
        ("model.mode_in", "none", "model.mode_in is 'none' but should be 'both', 'encoder' or 'decoder'."),
        (
            "model.experts",
            "conv5",
            "model.experts is 'conv5' but should be a list, such as [conv5, conv3, conv1, pool3",
        ),
        (
            "model.experts",
            None,
            "model.experts is null but should be a list, such as [conv5, conv3, conv1, pool3, pool5]",
        ),
        ("model.experts", [], "model.experts is [] but should have at least one entry."),
        ("model.experts", ["conv5", "conv7"], "entry 2 of model.experts is 'conv7' but should be 'conv5', 'conv3', "),
        ("model.experts", ["conv3", "conv3"], "model.experts is ['conv3', 'conv3'] but should have conv3 only once."),
        ("model.gate", True, "model.gate is true but should be 'softmax' or 'sigmoid'."),
        ("model.gate_layers", 3, "model.gate_layers is 3 but should be 1 or 2."),
        ("model.task_embedding", 1, "model.task_embedding is 1 but should be 'one_hot' or 'gaussian'."),
        ("model", {"method": "multi_head_last", "width": 1, "kernel": 4}, "model.kernel is 4 but should be 5 or 3."),
        ("train", None, "train is null but should hold keys (patch, epochs, ...)."),
        ("dna", 3, "dna is 3 but should hold keys (name, quota, ...)."),
        ("train.patch", 16, "train.patch is 16 but should be a list, such as [32, 128, 128]."),
        ("train.patch", [16] * 2, "train.patch is [16, 16] but should have 3 entries, such as [32, 128, 128]."),
        ("predict.patch", [16] * 4, "predict.patch is [16, 16, 16, 16] but should have 3 entries, such as [32, "),
        ("preprocess.scale", [], "preprocess.scale is [] but should have 3 entries, such as [1, 0.37, 0.37]."),
        ("benchmark.methods", ["x"], "wrong: entry 1 of benchmark.methods is 'x' but should be one of 'repmode', "),
        ("benchmark.methods", "repmode", "benchmark.methods is 'repmode' but should be a list, such as [repmode, mul"),
        ("benchmark.methods", ["repmode"] * 2, "wrong: benchmark: methods must all differ."),
        ("benchmark.ablations", ["x"], "wrong: entry 1 of benchmark.ablations is 'x' but should be one of '"),
        ("benchmark.ablations", [3], "wrong: entry 1 of benchmark.ablations is 3 but should be text: put it in quotes"),
        ("benchmark.increments", ["a b"], f"entry 1 of benchmark.increments is 'a b' but {CHARACTERS}."),
        ("benchmark.increments", None, "benchmark.increments is null but should be a list, such as [fibrillarin]."),
        ("benchmark.kernel", 4, "benchmark.kernel is 4 but should be 5 or 3."),
        ("train.devices", 1, "train.devices is now a resource of the rule train_model, tasks_per_node"),
        ("train.nodes", 1, "train.nodes is now a resource of the rule train_model, nodes"),
        ("train.cache", "disk", "train.cache is now a resource of the rule train_model, cache"),
        ("experiment", 2024, "experiment is 2024 but should be text: put it in quotes, in a config file."),
        (
            "experiment",
            date(2024, 1, 2),
            "experiment is 2024-01-02 but should be text: put it in quotes, in a config file.",
        ),
        ("experiment", ["a"] * 99, "experiment is [" + "'a', " * 39 + "'a',... but should be text."),
    ],
)
def test_wrong_values_are_named(config_values, key, value, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        parse_config(changed(config_values, key, value))


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("train.epochs", True, "a whole number"),
        ("model.width", False, "a whole number"),
        ("model.gate_layers", True, "a whole number"),
        ("train.warmup_steps", False, "a whole number"),
        ("train.early_stopping", True, "a whole number"),
        ("predict.images_per_job", True, "a whole number"),
        ("split.seed", True, "a whole number"),
        ("train.weight_decay", True, "a number"),
        ("predict.overlap", False, "a number"),
        ("split.fit_fraction", True, "a number"),
    ],
)
def test_true_and_false_are_no_numbers(config_values, key, value, wanted):
    sentence = f"wrong: {key} is {str(value).lower()} but should be {wanted}."
    with pytest.raises(InputError, match=re.escape(sentence)):
        parse_config(changed(config_values, key, value))


def test_true_is_no_number_in_a_list(config_values):
    with pytest.raises(InputError, match="wrong: entry 2 of seeds is true but should be a whole number.$"):
        parse_config(config_values | {"seeds": [3, True]})
    with pytest.raises(InputError, match="wrong: entry 1 of preprocess.scale is true but should be a number.$"):
        parse_config(changed(config_values, "preprocess.scale", [True, 1, 1]))


def keys_of(section: type[Section], values: dict, prefix: str = "") -> list[str]:
    """All keys of a config, sections included."""
    keys = []
    for key in section.model_fields:
        keys.append(prefix + key)
        if isinstance(values.get(key), dict) and (inner := sections_of(section.model_fields[key])):
            keys += keys_of(inner[0], values[key], f"{prefix}{key}.")
    return sorted(keys)


WRONG_KINDS = [
    "?",
    "",
    -0.5,
    7.5,
    10**400,
    float("nan"),
    True,
    None,
    [],
    [None],
    [True],
    ["?"],
    [[1]],
    [1] * 2,
    [1] * 9,
    {},
    {"?": None},
    date(2024, 1, 2),
]
JARGON = re.compile(
    r"\b(None|True|False|Input|valid|parse|tuple|dict\w*|str|string|int|integer|float|pattern|items?|field|value|instance"
    r"|extra|permitted|validation|union|model_type|object|inputs?|unable)\b"
)


def test_every_wrong_kind_of_every_key_is_said_plainly(config_values):
    """Each sentence names the key, what was found and what is wanted, without words of the library that checks."""
    refused = 0
    for key in keys_of(Config, config_values):
        for value in WRONG_KINDS:
            try:
                parse_config(changed(deepcopy(config_values), key, value))
            except InputError as error:
                refused += 1
                said = str(error).removeprefix("The configuration is wrong: ")
                assert not JARGON.search(said.replace("configuration", "")), said
                assert key in said or key.rpartition(".")[0] in said, said
                assert re.search(r"but should|is missing|is not a key|must|give either", said), said
                assert len(said) < 1500, said
    assert refused > 500


TEXTS = {
    "train": {"epochs": "3", "learning_rate": "1e-4", "ema": "null", "keep_every": "5", "patch": ["16", "32", "32"]},
    "seeds": ["0", "1"],
    "predict": {"patch": "~", "overlap": "0.25"},
    "evaluate": {"model": "none", "test_set": ""},
    "model": {"method": "multi_head_last", "width": "8", "kernel": "3"},
    "dna": "null",
}


def test_the_texts_of_the_command_line_are_read_as_their_values(config_values):
    """Snakemake's --config gives all but the simplest values as text."""
    for name, texts in TEXTS.items():
        config_values[name] = config_values[name] | texts if isinstance(texts, dict) else texts
    config = parse_config(config_values)
    train, model = config.train, config.model
    assert (train.epochs, train.learning_rate, train.ema, train.keep_every) == (3, 1e-4, None, 5)
    assert (train.patch, config.seeds, config.predict.overlap) == ((16, 32, 32), (0, 1), 0.25)
    assert (config.predict.patch, config.evaluate.model, config.evaluate.test_set, config.dna) == (None,) * 4
    assert (model.width, model.kernel) == (8, 3)


def test_the_settings_of_repmode_may_be_text(config_values):
    """A list of the command line holds text too."""
    texts = {"method": "repmode", "width": "2", "gate_layers": "2", "experts": ["conv3", "pool3", "pool3"]}
    model = parse_config(config_values | {"model": texts}).model
    assert (model.gate_layers, model.experts, model.gate) == (2, ("conv3", "pool3", "pool3"), "softmax")


def test_null_as_text_is_a_name_where_no_null_may_be(config_values):
    config = parse_config(config_values | {"experiment": "null", "structures": ["none"]})
    assert (config.experiment, config.structures) == ("null", ("none",))


def test_a_whole_number_may_have_a_point(config_values):
    width = parse_config(changed(config_values, "model.width", 8.0)).model.width
    assert (width, type(width)) == (8, int)


def test_names_may_be_long_and_repeat_a_little(config_values):
    names = ("a" * 19, "ab" * 19 + "a", "x" * 19 + "y" * 19, "tom20-" * 16)
    assert parse_config(config_values | {"structures": list(names)}).structures == names


@given(st.from_regex("[ab]{1,60}", fullmatch=True))
def test_names_are_refused_if_snakemake_would(name):
    values = yaml.safe_load((PROJECT / "config.yaml").read_text()) | {"experiment": name}
    if PeriodicityDetector().is_periodic(name):
        with pytest.raises(InputError, match="20 times or more"):
            parse_config(values)
    else:
        assert parse_config(values).experiment == name


def test_the_home_folder_may_be_written_short(config_values, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    collection = {
        "samples": None,
        "archives": "~/raw/{structure}.zip",
        "lists": "https://lab/~ada/{structure}.csv",
        "sha256": {"~/raw/tom20.zip": "0" * 64},
    }
    evaluate = config_values["evaluate"] | {"model": "~/m.safetensors", "test_set": "~nobody_of_this_name/test.h5"}
    config = parse_config(config_values | {"collection": collection, "evaluate": evaluate})
    assert config.collection.archives == "/home/ada/raw/{structure}.zip"
    assert config.collection.lists == "https://lab/~ada/{structure}.csv"
    assert list(config.collection.sha256) == ["/home/ada/raw/tom20.zip"]
    assert config.evaluate.model == "/home/ada/m.safetensors"
    assert config.evaluate.test_set == "~nobody_of_this_name/test.h5"


def test_keys_of_a_section_alone_are_named():
    with pytest.raises(InputError, match="wrong: patch is 3 but should be a list, such as"):
        parse_section(PredictConfig, {"patch": 3, "overlap": 0, "flips": ""})
    with pytest.raises(InputError, match=r"wrong: flip is not a key \(known here: patch, overlap, flips\)"):
        parse_section(PredictConfig, {"patch": None, "overlap": 0, "flips": "", "flip": ""})


def test_a_key_that_is_a_number(config_values):
    with pytest.raises(InputError, match=r"wrong: 1 is not a key \(known here: experiment"):
        parse_config(config_values | {1: 2})


def test_missing_key_and_all_problems_at_once(config_values):
    del config_values["train"]["epochs"]
    config_values["model"]["width"] = "wide"
    with pytest.raises(InputError, match=r"model\.width is 'wide' but .* number; train\.epochs is missing"):
        parse_config(config_values)


TWICE = """\
experiment: a
train:
  epochs: 1
  patch: [16, 16, 16]
  "epochs": 2
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (TWICE, "gives the key epochs in line 3 and again in line 5; delete one of the two."),
        ("train: {}\nseeds: [0]\ntrain: {}\n", "gives the key train in line 1 and again in line 3; delete one"),
        ("a: [{b: 1, b: 1}]", "gives the key b in line 1 and again in line 1; delete one"),
        ('{"a": 1,\n "a": 1}', "gives the key a in line 1 and again in line 2; delete one"),
        ("seeds: [0]\ntrain:\n\tepochs: 3\n", "can't be read as YAML: correct line 3 (found character"),
        ("experiment: a: b\n", "can't be read as YAML: correct line 1 (mapping values are not allowed here)"),
        ("seeds: [0\n", "can't be read as YAML: correct line 2 (expected ',' or ']'"),
        ("seeds: *all\n", "can't be read as YAML: correct line 1 (found undefined alias 'all')"),
        ("!!python/object:os.system {}\n", "can't be read as YAML: correct line 1 (could not determine a constructor"),
        ("experiment: 2024-13-01\n", "can't be read as YAML (month must be in 1..12"),
        ("a: \x07\n", "can't be read as YAML (unacceptable character"),
        ("- seeds\n", "holds no keys, but ['seeds']; wanted are lines such as `seeds: [0]`."),
    ],
)
def test_files_that_cannot_be_read_are_named_with_the_line(tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{path} {sentence}")):
        read_yaml(path)


def test_files_that_are_none_or_no_text(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml can't be read \(No such file or directory\); give a YAML file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "utf16.yaml").write_text("seeds: [0]", encoding="utf-16")
    with pytest.raises(InputError, match=r"utf16\.yaml can't be read as YAML \(.*\); save it as UTF-8 text"):
        read_yaml(tmp_path / "utf16.yaml")


def test_a_key_may_come_again_in_another_section_or_through_an_alias(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: &base {a: 1, b: 1}\nnext: &next {<<: *base, a: 2}\nlast: {<<: [*next, *base], b: 3}\n")
    assert read_yaml(path) == {"base": {"a": 1, "b": 1}, "next": {"a": 2, "b": 1}, "last": {"a": 2, "b": 3}}


def test_later_files_override_earlier_ones_key_by_key(tmp_path):
    (tmp_path / "mine.yaml").write_text("train: {epochs: 7}\nseeds: [5]\n")
    config = read_config([PROJECT / "config.yaml", tmp_path / "mine.yaml"])
    assert (config.train.epochs, config.train.batch_size, config.seeds) == (7, 8, (5,))
