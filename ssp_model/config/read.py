"""Read and check a config: YAML in, sections out, one sentence for each wrong key."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from ssp_model.config.schema import PATTERN_MEANINGS, Config, Section, example_of, method_of, sections_of
from ssp_model.errors import InputError

MOVED_TO_RESOURCES = {"train.devices": "tasks_per_node", "train.nodes": "nodes", "train.cache": "cache"}
"""Keys of version 0.1.0 that said where a training is computed, and the resources in their place."""

WANTED = {
    "int_type": "be a whole number",
    "int_parsing": "be a whole number",
    "int_parsing_size": "be a whole number",
    "int_from_float": "be a whole number",
    "float_type": "be a number",
    "float_parsing": "be a number",
    "finite_number": "be a finite number",
    "greater_than": "be more than {gt}",
    "greater_than_equal": "be {ge} or more",
    "less_than": "be less than {lt}",
    "multiple_of": "be a multiple of {multiple_of}",
    "string_type": "be text: put it in quotes, in a config file",
    "string_too_short": "not be empty",
    "string_too_long": "have at most {max_length} characters",
    "literal_error": "be {expected}",
    "too_short": "have at least one entry",
}
"""What a value should be or have, by the error of pydantic."""

LONGEST_SHOWN = 200
"""Characters of a wrong value that a sentence shows."""

SectionT = TypeVar("SectionT", bound=Section)


def parse_section(kind: type[SectionT], values: dict[str, Any], name: str = "The configuration") -> SectionT:
    """Check a section, or a whole config.

    Parameters
    ----------
    kind : Section class
    values : dict
        The keys, as a YAML file gives them.
    name : str
        What an error calls them, such as the name of the file.

    Raises
    ------
    InputError
        A key or value is wrong; the text has a sentence for each and names it.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        # a wrong entry also counts as no entry: pydantic then calls the list too short, though it is not
        real = (problem for problem in error.errors() if problem["type"] != "too_short" or not problem["input"])
        problems = dict.fromkeys(_sentence(problem, kind) for problem in real)
        raise InputError(f"{name} is wrong: {'; '.join(problems)}.") from None


def parse_config(values: dict[str, Any]) -> Config:
    """Check a whole config, as `parse_section` does."""
    return parse_section(Config, values)


def read_config(paths: Sequence[str | Path]) -> Config:
    """Read and check a config from YAML files. Later files override earlier ones, as with `--configfile`."""
    values: dict[str, Any] = {}
    for path in paths:
        values = _overlay(values, read_yaml(path))
    return parse_config(values)


def check_configfiles() -> None:
    """Read the files that follow `--configfile` in this process's command; end it with a sentence if one is no YAML.

    Profiles call this, as Snakemake reads these files before the workflow.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    for path in filter(os.path.isfile, parser.parse_known_args()[0].configfile):
        try:
            read_yaml(path)
        except InputError as error:
            sys.exit(str(error))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises
    ------
    InputError
        The file does not exist, gives a key twice, or does not hold YAML keys.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader) or {}
    except _DoubledKeyError as error:
        raise InputError(f"{path} gives {error}; delete one of the two.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}" if mark else "the file"
        raise InputError(
            f"{path} can't be read as YAML: correct {line} ({error.problem}); indent with spaces, and put text with "
            "special characters in quotes."
        ) from None
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); give a YAML file of keys and values.") from None
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} can't be read as YAML ({reason}); save it as UTF-8 text and correct it.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no keys, but {_shown(values)}; wanted are lines such as `seeds: [0]`.")
    return values


class _DoubledKeyError(yaml.YAMLError):
    """A key that is given twice in the same section. The text is the key and its two lines."""


class _Loader(yaml.SafeLoader):
    """Read YAML, but refuse a key that is given twice: YAML itself would keep the last silently."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            before = first.setdefault((key.tag, key.value), key)
            if before is not key:
                lines = f"line {before.start_mark.line + 1} and again in line {key.start_mark.line + 1}"
                raise _DoubledKeyError(f"the key {key.value} in {lines}")
        return node


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if both else value
    return merged


def _sentence(problem: Any, root: type[Section]) -> str:
    """Turn a problem that pydantic found in a section into a sentence."""
    place = _locate(problem["loc"], root)
    key = place.name
    found = problem["input"]
    match problem["type"]:
        case "extra_forbidden" if key in MOVED_TO_RESOURCES:
            return f"{key} is now a resource of the rule train_model, {MOVED_TO_RESOURCES[key]} (see docs/training.md)"
        case "extra_forbidden" | "invalid_key":
            known = ", ".join(place.section.model_fields) if place.section else ""
            return f"{key} is not a key (known here: {known})"
        case "missing" if place.entry:
            # the input is the list that ends too early
            return f"{place.key} is {_shown(found)} but should {_wanted_list(place, fixed_length=True)}"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return f"{key}: {problem['ctx']['error']}"
        case "union_tag_not_found":
            return f"{key}.method is missing"
        case "union_tag_invalid":
            tag = _shown(found["method"])
            return f"{key}.method is {tag} but should be one of {problem['ctx']['expected_tags']}"
    return f"{key} is {_shown(found)} but should {_wanted(problem, place)}"


def _wanted(problem: Any, place: "_Place") -> str:
    """Return what a value should be, or have."""
    context = problem.get("ctx", {})
    match problem["type"]:
        case "string_type" if isinstance(problem["input"], dict | list | None):
            return "be text"
        case "string_pattern_mismatch":
            return PATTERN_MEANINGS[context["pattern"]]
        case "model_type" | "model_attributes_type" | "dict_type":
            first = f" ({', '.join(list(place.inner[0].model_fields)[:2])}, ...)" if place.inner else ""
            return f"hold keys{first}"
        case "tuple_type" | "too_long" as kind:
            return _wanted_list(place, fixed_length=kind == "too_long")
    if problem["type"] not in WANTED:
        # our own errors, and kinds of keys that are not listed yet
        return problem["msg"].removeprefix("Input ").removeprefix("should ")
    numbers = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return WANTED[problem["type"]].format(**numbers)


def _wanted_list(place: "_Place", *, fixed_length: bool) -> str:
    """Return what a list should be, with an example."""
    field = place.section.model_fields[place.key.rpartition(".")[2]] if place.section else None
    example = example_of(field) if field else None
    such_as = f", such as [{', '.join(map(str, example))}]" if example else ""
    return f"have {len(example)} entries{such_as}" if example and fixed_length else f"be a list{such_as}"


def _shown(value: Any) -> str:
    """Write a value as YAML has it, shortened."""
    match value:
        case None | bool():
            text = json.dumps(value)
        case list() | tuple():
            text = f"[{', '.join(map(_shown, value))}]"
        case dict():
            text = f"{{{', '.join(f'{key}: {_shown(inner)}' for key, inner in value.items())}}}"
        case str():
            text = repr(value)
        case float():
            text = f"{value:g}"
        case _:
            text = str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


@dataclass(frozen=True)
class _Place:
    """Where a value stands in the config.

    Attributes
    ----------
    key : str
        The keys that lead to it, joined by dots.
    entry : int
        Its number in the list of the key, from 1; 0 if it is the value of the key itself.
    section : Section class, or None
        The section that holds the last key.
    inner : list of Section classes
        The sections that the key may hold.
    """

    key: str
    entry: int
    section: type[Section] | None
    inner: list[type[Section]]

    @property
    def name(self) -> str:
        return f"entry {self.entry} of {self.key}" if self.entry else self.key or "the configuration"


def _locate(location: tuple[int | str, ...], root: type[Section]) -> _Place:
    """Return the place that pydantic means."""
    if location[-1:] == ("[key]",):  # not a value, but the key itself is wrong
        location = (*location[:-2], str(location[-2]))
    keys: list[str] = []
    entry = 0
    section: type[Section] | None = root
    inner: list[type[Section]] = [root]
    for part in location:
        if len(inner) > 1:  # this part is the chosen method, not a key
            inner = [kind for kind in inner if part == method_of(kind)]
        elif isinstance(part, int) and not inner:
            entry = part + 1
        else:
            section = inner[0] if inner else None
            keys.append(str(part))
            inner = sections_of(section.model_fields[str(part)]) if section and part in section.model_fields else []
    return _Place(".".join(keys), entry, section, inner)
