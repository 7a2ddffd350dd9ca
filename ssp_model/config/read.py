"""Read and check a configuration: YAML in, sections out, one sentence for each wrong key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from ssp_model.config.schema import Config, Section
from ssp_model.errors import InputError

SectionT = TypeVar("SectionT", bound=Section)


def parse_section(kind: type[SectionT], values: dict[str, Any]) -> SectionT:
    """Check a section, or a whole configuration.

    Raises
    ------
    InputError
        One sentence for each wrong key or value, naming it.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = dict.fromkeys(_sentence(problem) for problem in error.errors())
        raise InputError("The configuration is wrong: " + "; ".join(problems) + ".") from None


def parse_config(values: dict[str, Any]) -> Config:
    """Check a whole configuration, as `parse_section` does."""
    return parse_section(Config, values)


def read_config(paths: Sequence[str | Path]) -> Config:
    """Read and check a configuration from YAML files, each overlaying those before, as `--configfile` does."""
    values: dict[str, Any] = {}
    for path in paths:
        values = _overlay(values, read_yaml(path))
    return parse_config(values)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises
    ------
    InputError
        There is no such file, or it is none of YAML keys.
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
    """One problem as pydantic found it, in words."""
    key = ".".join(str(part) for part in problem["loc"]) or "the configuration"
    match problem["type"]:
        case "extra_forbidden":
            known = _known_keys(problem["loc"][:-1])
            return f"{key} is not a key (known here: {', '.join(known)})"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return f"{key}: {problem['ctx']['error']}"
    wanted = problem["msg"].removeprefix("Input ").replace("Input", "it")
    return f"{key} is {problem['input']!r} but {wanted}"


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    """Keys of the section at a path."""
    section: Any = Config
    for part in path:
        if not (isinstance(section, type) and issubclass(section, Section)):
            return []
        annotation = section.model_fields[str(part)].annotation
        options = getattr(annotation, "__args__", (annotation,))
        section = next((kind for kind in options if isinstance(kind, type) and issubclass(kind, Section)), None)
    return list(section.model_fields) if section else []
