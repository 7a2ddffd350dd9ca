"""What a model card says beside the model file: facts that only a person knows, and the config keys in words."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, model_validator

from ssp_model.config.read import parse_section, read_yaml
from ssp_model.config.schema import Config, ModelConfig, Section, method_of, sections_of
from ssp_model.errors import InputError

HUB_LICENSES = {
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear",
    "bsl-1.0", "c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
    "cdla-sharing-1.0", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "gfdl", "gpl", "gpl-2.0",
    "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by",
    "ofl-1.1", "openrail", "openrail++", "osl-3.0", "pddl", "postgresql", "unlicense", "wtfpl", "zlib",
}  # fmt: skip
"""Licences that the Hugging Face Hub knows by a name of its own; any other one is `other` there."""

TRAINING = {
    "experiment": "Name of the experiment.",
    "seed": "Random seed of weights, crops and their order.",
    "epoch": "Epoch whose network was kept.",
    "val_mse": "Mean squared error of the kept network on the validation images.",
    "imported_from": "Checkpoint of the RepMode authors that the model was imported from.",
}
"""What a model file says about a training. Below `extends` stands the model before, below `parts`
each structure."""

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(examples=[["first entry", "second entry"]])]


class AboutSection(Section):
    """Keys that a person fills in. Unlike in the config, the text `none` is a text."""

    @model_validator(mode="before")
    @classmethod
    def _read_null(cls, values: Any) -> Any:
        return values


class DatasetAbout(AboutSection):
    """The images that the model was trained and scored on."""

    name: Text | None = Field(default=None, description="Name of the dataset.")
    address: Text | None = Field(default=None, description="Where it can be found: a web address or a DOI.")
    license: Text | None = Field(default=None, description="Licence or terms of the images.")
    citation: Text | None = Field(default=None, description="How to cite it.")


class About(AboutSection):
    """What only a person knows about a model. Each key may be left out, and the card then says that it is unknown."""

    name: Text | None = Field(default=None, description="Name of the model, the title of the card.")
    summary: Text | None = Field(default=None, description="What the model is for, in one or two sentences.")
    authors: Texts = Field(default=(), description="Who made the model.")
    contact: Text | None = Field(default=None, description="Where to ask.")
    license: Text | None = Field(default=None, description="Licence of the model file, such as `CC-BY-4.0`.")
    license_address: Text | None = Field(default=None, description="Web address of the text of this licence.")
    citation: Text | None = Field(default=None, description="How to cite the model.")
    modality: Text | None = Field(
        default=None, description="Kind of transmitted light, such as `bright-field` or `phase contrast`."
    )
    microscope: Text | None = Field(default=None, description="Microscope, objective and camera.")
    cells: Text | None = Field(default=None, description="Cell type or cell line, and how it was grown and labelled.")
    structures: dict[Text, Text] = Field(
        default={}, description="What the name of each structure means, such as `lamin_b1: nuclear envelope`."
    )
    dataset: DatasetAbout | None = Field(default=None)
    limits: Texts = Field(default=(), description="Further limits that a user must know.")


def read_about(path: str | Path) -> About:
    """Read the YAML file of what only a person knows about a model.

    Raises
    ------
    InputError
        The file can't be read, has an unknown key, or a value is not text.
    """
    return parse_section(About, read_yaml(path), str(path))


def check_structures(about: About, structures: tuple[str, ...], path: str | Path) -> None:
    """Refuse a text on a structure that the model does not predict.

    Raises
    ------
    InputError
    """
    unknown = sorted(set(about.structures) - set(structures))
    if unknown:
        raise InputError(
            f"{path}: structures has {', '.join(unknown)}, but the model predicts {', '.join(structures)} only; "
            "correct the names or delete these lines."
        )


def hub_license(about: About) -> dict[str, str]:
    """Return the licence as the header of a card on the Hugging Face Hub gives it; nothing if it is unknown."""
    if about.license is None:
        return {}
    name = re.sub(r"[^a-z0-9.+-]+", "-", about.license.lower()).strip("-")
    if name in HUB_LICENSES:
        return {"license": name}
    address = {"license_link": about.license_address} if about.license_address else {}
    return {"license": "other", "license_name": name or "other", **address}


def describe_method(method: str) -> str:
    """Return what a method is, in a sentence, as the docs of the config say it."""
    kind = next(kind for kind in get_args(ModelConfig) if method_of(kind) == method)
    return str(kind.model_fields["method"].description)


def describe_keys(config: Mapping[str, Any], section: str, method: str) -> list[tuple[str, Any, str]]:
    """Return the keys of a section of a model's config with their values and meanings.

    Parameters
    ----------
    config : mapping
        As the model file has it; a section that is missing has no keys.
    section : str
        Name of the section, such as `train`.
    method : str
        Name of the model's method, whose keys the section `model` has.

    Returns
    -------
    list of tuple
        Key, such as `train.epochs`; value; meaning, empty for a key that this version does not know.
    """
    kinds = sections_of(Config.model_fields[section])
    known = next((kind for kind in kinds if section != "model" or method_of(kind) == method), None)
    return _keys(config.get(section), section, known)


def describe_training(training: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """Return what a model file says about the training: key, such as `training.epoch`, value and meaning."""
    return [(key, value, TRAINING.get(key.rpartition(".")[2], "")) for key, value, _ in _keys(training, "training")]


def _keys(values: Any, prefix: str, known: type[Section] | None = None) -> list[tuple[str, Any, str]]:
    rows: list[tuple[str, Any, str]] = []
    for key, value in values.items() if isinstance(values, dict) else ():
        field = known.model_fields.get(key) if known else None
        if isinstance(value, dict):
            inner = sections_of(field) if field else []
            rows += _keys(value, f"{prefix}.{key}", inner[0] if inner else None)
        else:
            meaning = (field.description or "") if field else ""
            # the method is known
            meaning = re.sub(r"^(Only|Not) of `\w+`: (.)", lambda match: match[2].upper(), meaning)
            rows.append((f"{prefix}.{key}", value, meaning))
    return rows
