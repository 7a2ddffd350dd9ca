"""The experiments of a config: its own, and those of the benchmark (`snakemake benchmark`).

Each differs from the others in method, settings or structures only. It is trained and scored like any other experiment,
and can be made alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ssp_model.config.ablations import ABLATIONS
from ssp_model.config.schema import METHOD_NAMES, Config, ModelConfig, method_of, parse_model
from ssp_model.errors import InputError

TRAINED_ALONE = ("multi_net",)
"""Methods that are `alone` (`nn/method.py`). To plan a run no network is imported, as this takes seconds."""

INCREMENTAL = ("repmode", "multi_head_decoder")
"""Methods whose models learn a further structure in the benchmark, as on RepMode's poster."""


@dataclass(frozen=True)
class Experiment:
    """One experiment: what is trained, and what is scored.

    Attributes
    ----------
    name : str
        Name of its folders under `results`.
    kind : str
        `own` for that of the config; `method`, `ablation` or `increment` for those of the benchmark.
    title : str
        What a person calls it.
    model : ModelConfig
        Method and settings.
    structures : tuple of str, or None
        What it is trained on; None for all.
    extends : str, or None
        Name of the experiment whose model it extends.
    scored : tuple of str, or None
        Structures that it is scored on; None for all, empty for a model that is only there to be extended.
    published : tuple of float, or None
        MSE, MAE and R2 of an ablation over all images in the paper.
    """

    name: str
    kind: Literal["own", "method", "ablation", "increment"]
    title: str
    model: ModelConfig
    structures: tuple[str, ...] | None = None
    extends: str | None = None
    scored: tuple[str, ...] | None = None
    published: tuple[float, float, float] | None = None

    @property
    def is_trained_alone(self) -> bool:
        """Whether each structure is trained in a job of its own."""
        return self.model.method in TRAINED_ALONE


def own_experiment(config: Config) -> Experiment:
    """Return the experiment of the config itself."""
    return Experiment(config.experiment, "own", config.experiment, config.model)


def matrix(config: Config) -> list[Experiment]:
    """Return the experiments of the benchmark: methods, ablations and increments. `config.tasks` are all structures."""
    return [*_methods(config), *_ablations(config), *_increments(config)]


def check_matrix(config: Config) -> None:
    """Refuse a benchmark that can't be made.

    Raises
    ------
    InputError
        A model from elsewhere is to be evaluated, or a structure to be learnt afterwards is not there.
    """
    if config.evaluate.model:
        raise InputError(
            f"The benchmark trains its models, but evaluate.model is {config.evaluate.model}; set it to null."
        )
    unknown = [structure for structure in config.benchmark.increments if structure not in config.tasks]
    if unknown:
        raise InputError(
            f"benchmark.increments lists {', '.join(unknown)}, but the structures are {', '.join(config.tasks)}; "
            "correct the list, or leave it empty: []."
        )
    if config.benchmark.increments and len(config.tasks) < 2:
        raise InputError(
            f"benchmark.increments lists {config.tasks[0]}, which is the only structure, so no model could learn "
            "others before; set it to []."
        )


def _methods(config: Config) -> Iterator[Experiment]:
    names = METHOD_NAMES if config.benchmark.methods is None else config.benchmark.methods
    for name in names:
        yield Experiment(f"{config.experiment}-{name}", "method", title_of(name), _model(config, name))


def _ablations(config: Config) -> Iterator[Experiment]:
    names: Sequence[str] = list(ABLATIONS) if config.benchmark.ablations is None else config.benchmark.ablations
    for name in names:
        ablation = ABLATIONS[name]
        values = {"method": "repmode", "width": config.model.width, **ablation.settings}
        yield Experiment(
            f"{config.experiment}-repmode_{name}",
            "ablation",
            ablation.title,
            parse_model(values),
            published=ablation.published,
        )


def _increments(config: Config) -> Iterator[Experiment]:
    for structure in config.benchmark.increments:
        others = tuple(task for task in config.tasks if task != structure)
        if structure not in config.tasks or not others:
            continue
        for method in INCREMENTAL:
            model, cell, title = _model(config, method), f"{config.experiment}-{method}", title_of(method)
            base = f"{cell}_without_{structure}"
            yield Experiment(base, "increment", f"{title} without {structure}", model, others, scored=())
            yield Experiment(
                f"{cell}_extended_{structure}",
                "increment",
                f"{title} extended by {structure}",
                model,
                structures=(structure,),
                extends=base,
                scored=(structure,),
            )


def _model(config: Config, method: str) -> ModelConfig:
    """Return a method as the benchmark compares it: at the width of the config, with the kernel of the benchmark."""
    values = {"method": method, "width": config.model.width, "kernel": config.benchmark.kernel}
    known = _section(method).model_fields
    return parse_model({key: value for key, value in values.items() if key in known})


def _section(method: str) -> type[ModelConfig]:
    return next(kind for kind in get_args(ModelConfig) if method_of(kind) == method)


def title_of(method: str) -> str:
    """Return the title of a method, which the first sentence of its section gives."""
    found = re.match(r"The method (.+?)\.( |$)", _section(method).__doc__ or "")
    assert found, method
    return found[1]
