"""Read and check a config: YAML in, sections out, one sentence for each wrong key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from ssp_model.config.schema import Config, Section, method_of, sections_of
from ssp_model.errors import InputError

MOVED_TO_RESOURCES = {"train.devices": "tasks_per_node", "train.nodes": "nodes", "train.cache": "cache"}
"""Keys of version 0.1.0 that said where a training is computed, and the resources in their place."""

SectionT = TypeVar("SectionT", bound=Section)


def parse_section(kind: type[SectionT], values: dict[str, Any]) -> SectionT:
    """Check a section, or a whole config.

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
        problems = dict.fromkeys(_sentence(problem) for problem in real)
        raise InputError("The configuration is wrong: " + "; ".join(problems) + ".") from None


def parse_config(values: dict[str, Any]) -> Config:
    """Check a whole config, as `parse_section` does."""
    return parse_section(Config, values)


def read_config(paths: Sequence[str | Path]) -> Config:
    """Read and check a config from YAML files. Later files override earlier ones, as with `--configfile`."""
    values: dict[str, Any] = {}
    for path in paths:
        values = _overlay(values, read_yaml(path))
    return parse_config(values)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises
    ------
    InputError
        The file does not exist, or does not hold YAML keys.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} can't be read as YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no keys, but {type(values).__name__}; wanted are lines such as `seeds: [0]`.")
    return values


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if both else value
    return merged


def _sentence(problem: Any) -> str:
    """Turn a problem that pydantic found into a sentence."""
    keys, section, inner = _locate(problem["loc"])
    key = ".".join(keys) or "the configuration"
    found = problem["input"]
    match problem["type"]:
        case "extra_forbidden" if key in MOVED_TO_RESOURCES:
            return f"{key} is now a resource of the rule train_model, {MOVED_TO_RESOURCES[key]} (see docs/training.md)"
        case "extra_forbidden" | "invalid_key":
            return f"{key} is not a key (known here: {', '.join(section.model_fields) if section else ''})"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return f"{key}: {problem['ctx']['error']}"
        case "union_tag_not_found":
            return f"{key}.method is missing"
        case "union_tag_invalid":
            return f"{key}.method is {found['method']!r} but should be one of {problem['ctx']['expected_tags']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            first = f" ({', '.join(list(inner[0].model_fields)[:2])}, ...)" if inner else ""
            return f"{key} is {found!r} but should hold keys{first}"
        case "tuple_type":
            return f"{key} is {found!r} but should be a list"
        case "too_short":
            return f"{key} is {found!r} but should have at least one entry"
        case "too_long":
            return f"{key} is {found!r} but should have at most {problem['ctx']['max_length']} entries"
    wanted = problem["msg"].removeprefix("Input ").removeprefix("String ").replace("Input", "it")
    return f"{key} is {found!r} but {wanted}"


def _locate(place: tuple[int | str, ...]) -> tuple[list[str], type[Section] | None, list[type[Section]]]:
    """Return the keys that lead to a place, the section that holds the last key, and the sections it may hold."""
    keys: list[str] = []
    section: type[Section] | None = Config
    inner: list[type[Section]] = [Config]
    for part in place:
        if len(inner) > 1:  # this part is the chosen method, not a key
            inner = [kind for kind in inner if part == method_of(kind)]
            continue
        section = inner[0] if inner else None
        keys.append(str(part))
        inner = sections_of(section.model_fields[str(part)]) if section and part in section.model_fields else []
    return keys, section, inner
