"""The model card: what a person must know before they use a model.

It is Markdown with the header of the Hugging Face Hub, and a page of the report. What nobody has told is said to be
unknown.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

import ssp_model
from ssp_model.data.dataset import Dataset, in_um
from ssp_model.errors import InputError
from ssp_model.evaluation.metrics import METRIC, METRICS, label
from ssp_model.evaluation.scores import with_interval
from ssp_model.evaluation.statistics import FEWEST
from ssp_model.files import replacing, sha256_of, size_of
from ssp_model.images.description import own_name
from ssp_model.models.card import (
    About,
    check_structures,
    describe_keys,
    describe_method,
    describe_training,
    hub_license,
    read_about,
)
from ssp_model.report.html import write_page
from ssp_model.report.markdown import UNKNOWN, Markdown, code, escape, fill, table, to_html
from ssp_model.report.runs import read_runs

if TYPE_CHECKING:
    from ssp_model.models.model_file import ModelInfo

SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""Splits, as datasets call them and as people do."""

HUB_METRICS = {"r2": "r_squared", "pearson": "pearsonr"}
"""Metrics that have another name on the Hugging Face Hub."""

PICTURES = "pictures"
"""Folder of the pictures, beside the card."""


@dataclass(frozen=True)
class Scores:
    """What the tables of scores say.

    Attributes
    ----------
    structures : DataFrame
        A row for each structure, as `evaluation.scores.summarise` writes it.
    totals : DataFrame
        The means over all images and over structures.
    """

    structures: pd.DataFrame
    totals: pd.DataFrame

    @property
    def run(self) -> str:
        """The run that was scored."""
        return f"{self.totals.experiment[0]}, seed {self.totals.seed[0]}"

    @property
    def lines(self) -> dict[str, pd.Series]:
        """The rows by what they are of: each structure, then the means over all."""
        rows = {str(row.structure): row for _, row in self.structures.iterrows()}
        return rows | {f"all, mean over {row.mean_over}": row for _, row in self.totals.iterrows()}


@dataclass(frozen=True)
class Data:
    """What the datasets say.

    Attributes
    ----------
    counts : DataFrame
        Images of each structure (rows) in each split (columns).
    channels : list of str
        Names that the image files have for the channel of the transmitted light.
    seen : int
        Test images from files that training or validation images come from too.
    """

    counts: pd.DataFrame
    channels: list[str]
    seen: int


@dataclass(frozen=True)
class Picture:
    """A picture of the report: its file, its name in the folder of the card, and what it shows."""

    source: Path
    name: str
    title: str
    caption: str


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes
    ----------
    title : str
    header : str
        YAML.
    body : str
        Markdown after the title.
    pictures : list of Picture
        Those that the text shows.
    about : About
        What only a person knows.
    """

    title: str
    header: str
    body: str
    pictures: list[Picture]
    about: About

    @property
    def text(self) -> str:
        """The whole file."""
        return f"---\n{self.header}---\n\n# {escape(self.title)}\n\n{self.body}"

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the card, and its pictures into a folder beside it.

        Raises
        ------
        InputError
            A file is there already, and `overwrite` is false.
        """
        path = Path(path)
        copies = {path.parent / PICTURES / picture.name: picture.source for picture in self.pictures}
        there = [file for file in (path, *copies) if file.exists()]
        if there and not overwrite:
            raise InputError(
                f"{there[0]} is there already; give another file with --output, or --overwrite to replace it."
            )
        if path.is_dir():
            raise InputError(f"{path} is a folder; give a file to write, such as README.md.")
        for copy, source in copies.items():
            with replacing(copy) as temporary:
                shutil.copyfile(source, temporary)
        with replacing(path) as temporary:
            temporary.write_text(self.text, encoding="utf-8")


def model_card_page(
    model: str | Path,
    page: str | Path,
    *,
    scores: str | Path,
    datasets: Mapping[str, str | Path],
    about: str | Path | None,
) -> None:
    """Write the card of a run, and show it as a page of the report.

    Parameters
    ----------
    model : path
        Model file.
    page : path
        HTML file to write, in the folder of the run's other pages, whose pictures the card shows. The card is
        `README.md` in a folder beside it, with the same name.
    scores, datasets, about :
        As for `make_card`.
    """
    folder = Path(page).with_suffix("")
    card = make_card(model, scores=scores, datasets=datasets, pictures=Path(page).parent, about=about)
    card.write(folder / "README.md", overwrite=True)
    write_page(page, "model_card.html.j2", title=card.title, card=to_html(card.body, folder))


def make_card(
    model: str | Path,
    *,
    scores: str | Path | None = None,
    datasets: Mapping[str, str | Path] | None = None,
    pictures: str | Path | None = None,
    about: str | Path | None = None,
) -> Card:
    """Gather what is known about a model.

    Parameters
    ----------
    model : path
        Model file.
    scores : path, optional
        Folder with `per_structure.csv` and `overall.csv`, as `evaluation.scores.summarise` writes them.
    datasets : mapping, optional
        Dataset (HDF5) of some of the splits `train`, `val` and `test`.
    pictures : path, optional
        Folder of the pages of a run, whose pictures the card shows.
    about : path, optional
        YAML file of what only a person knows (`models.card.About`).

    Raises
    ------
    InputError
        A file can't be used, or is not of this model.
    """
    # importing torch takes seconds, and a page that is shown needs it not
    from ssp_model.models.model_file import load_model

    network, info = load_model(model)
    told = read_about(about) if about else About()
    check_structures(told, info.structures, about or "")
    found = read_scores(scores, info.structures) if scores else None
    data = read_data(datasets, info) if datasets else None
    shown = find_pictures(pictures, info.structures) if pictures else []
    title = told.name or default_title(network.title, info.training)
    body = fill(
        "model_card.md.j2",
        about=told,
        dataset=told.dataset,
        info=info,
        method=network.title,
        method_text=Markdown(describe_method(info.method)),
        num_parameters=sum(parameter.numel() for parameter in network.parameters()),
        structures=structure_table(info, told),
        voxel_size=in_um(info.voxel_size_um) if info.voxel_size_um else None,
        file=Path(model).name,
        checksum=sha256_of(model),
        num_bytes=size_of(model),
        version=ssp_model.__version__,
        data=data,
        counts=counts_table(data, info) if data else None,
        preparation=settings_table(info, "preprocess", "split", "dna"),
        run=run_of(info.training),
        scores=found,
        score_table=score_table(found) if found else None,
        unscored=unscored(info, found),
        weak=weak(found),
        fewest=FEWEST,
        pictures=[(picture, Markdown(f"{PICTURES}/{picture.name}")) for picture in shown],
        training=training_table(info),
        settings=settings_table(info, "model", "train", "predict"),
    )
    return Card(title, header(info, told, title, found), body, shown, told)


def default_title(method: str, training: Mapping[str, Any]) -> str:
    """Name a model that no person has named, after its method and run."""
    run = run_of(training)
    return f"{method}, {run}" if run else f"{method} model"


def run_of(training: Mapping[str, Any]) -> str | None:
    """Return the run that trained a model; None if the model file does not tell."""
    parts = [str(training["experiment"])] if "experiment" in training else []
    parts += [f"seed {training['seed']}"] if "seed" in training else []
    return ", ".join(parts) or None


def read_scores(folder: str | Path, structures: tuple[str, ...]) -> Scores:
    """Read the tables of scores.

    Raises
    ------
    InputError
        A table is missing or can't be used, or has a structure that the model does not predict.
    """
    tables = {}
    for name, column in (("per_structure", "structure"), ("overall", "mean_over")):
        path = Path(folder) / f"{name}.csv"
        try:
            tables[name] = read_runs([path])
        except FileNotFoundError:
            raise InputError(
                f"{folder} has no {path.name}; give the folder that `ssp evaluate` or the workflow wrote, such as "
                "results/evaluation/repmode/seed-0."
            ) from None
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} can't be read as a table ({reason}); score the model again.") from None
        numbers = ["images", *(f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high"))]
        if missing := [head for head in (column, *numbers) if head not in tables[name]]:
            raise InputError(f"{path} has no column {missing[0]}; score the model again with this version.")
        if wrong := [head for head in numbers if not pd.api.types.is_numeric_dtype(tables[name][head])]:
            raise InputError(f"{path} has no number in column {wrong[0]}; score the model again.")
    found = Scores(tables["per_structure"], tables["overall"])
    both = pd.concat([found.structures, found.totals])
    if found.structures.empty or found.totals.empty or len(both[["experiment", "seed"]].drop_duplicates()) != 1:
        raise InputError(f"{folder}: the tables of scores should be of one run; score the model again.")
    if others := sorted(set(map(str, found.structures.structure)) - set(structures)):
        raise InputError(
            f"{folder} has scores of {', '.join(others)}, but the model predicts {', '.join(structures)} only; give "
            "the scores of this model."
        )
    return found


def find_datasets(folder: str | Path) -> dict[str, Path]:
    """Find the datasets of the splits in a folder.

    Raises
    ------
    InputError
        There are none.
    """
    known = {split: Path(folder) / f"{split}.h5" for split in SPLITS}
    found = {split: path for split, path in known.items() if path.is_file()}
    if not found:
        names = ", ".join(path.name for path in known.values())
        raise InputError(f"{folder} has no datasets ({names}); give a folder such as results/datasets.")
    return found


def read_data(datasets: Mapping[str, str | Path], info: "ModelInfo") -> Data:
    """Count the images in the datasets.

    Raises
    ------
    InputError
        A dataset can't be read, has another voxel size, or is not the one that the model was trained with.
    """
    # what an extended model knew before, it learnt from images that these datasets don't tell of
    learnt = info.structures[-1:] if "extends" in info.training else info.structures
    counts, indices = {}, {}
    for split, path in datasets.items():
        with Dataset(path) as dataset:
            dataset.check_voxel_size(info.voxel_size_um)
            if split != "test" and any(info.config.get(key) != value for key, value in dataset.config.items()):
                raise InputError(
                    f"{path} was made with other settings than the data that the model was trained on; give the "
                    "datasets of this model's training."
                )
            wanted = info.structures if split == "test" else learnt
            indices[split] = dataset.index[dataset.index.task.isin(wanted)]
        counts[split] = indices[split].task.value_counts().reindex(wanted, fill_value=0)
    table = pd.concat(indices.values())
    channels = {own_name(*row) for row in zip(table.signal_channel, table.signal_channel_name, strict=True)}
    return Data(
        pd.DataFrame(counts, index=list(info.structures)),
        sorted(channels - {""}),
        num_seen(indices),
    )


def num_seen(indices: Mapping[str, pd.DataFrame]) -> int:
    """Count the test images from files that training or validation images come from too."""
    trained = [index for split, index in indices.items() if split != "test"]
    if "test" not in indices or not trained:
        return 0
    test = indices["test"].drop_duplicates("image")
    return int(test.source_sha256.isin(pd.concat(trained).source_sha256).sum())


def find_pictures(folder: str | Path, structures: tuple[str, ...]) -> list[Picture]:
    """Find the pictures of the pages of a run.

    Raises
    ------
    InputError
        There are none.
    """
    folder = Path(folder)
    # other names are not those of folders
    names = [name for name in structures if re.fullmatch(r"[\w-]+", name)]
    known = [
        Picture(
            folder / "composite/composite.png",
            "all.png",
            "All structures in one image",
            "The test image of median R². Above: the input, and all predictions over it, each in its own colour. "
            "Below: each prediction alone, on a scale of its own.",
        ),
        *(
            Picture(
                folder / f"structures/{name}/median.png",
                f"structure-{name}.png",
                name,
                "The test image of median R². Left to right: transmitted light, measured fluorescence (the target), "
                "prediction, error.",
            )
            for name in names
        ),
        Picture(
            folder / "scores/scores.png",
            "scores.png",
            "Scores of each test image",
            "Each dot is a test image. Each vertical bar is the mean of a structure, and the horizontal line is its "
            "95% interval.",
        ),
    ]
    found = [picture for picture in known if picture.source.is_file()]
    if not found:
        raise InputError(
            f"{folder} has no pictures (looked for {known[0].source.relative_to(folder)} and others); give the folder "
            "of a run's pages, such as results/report/repmode/seed-0."
        )
    return found


def structure_table(info: "ModelInfo", about: About) -> Markdown:
    """List the structures with their meanings."""
    rows = [(name, about.structures.get(name)) for name in info.structures]
    return table(["structure", "what it is"], rows, num_text=2)


def counts_table(data: Data, info: "ModelInfo") -> Markdown:
    """List the number of images of each structure in each split."""
    known = [split for split in SPLITS if split in data.counts]
    rows = [
        (name, *(UNKNOWN if pd.isna(count) else f"{count:.0f}" for count in data.counts.loc[name, known]))
        for name in info.structures
    ]
    return table(["structure", *(f"{SPLITS[split]} images" for split in known)], rows, num_text=1)


def settings_table(info: "ModelInfo", *sections: str) -> Markdown | None:
    """List config keys with values and meanings; None if the model file has none."""
    # the sections that say how the model is used are entries of their own
    config = {**info.config, "preprocess": info.preprocess, "model": info.settings}
    keys = [key for section in sections for key in describe_keys(config, section, info.method)]
    # Markdown in the docs of the config
    rows = [(code(key), value_text(value), Markdown(meaning.replace("|", "\\|"))) for key, value, meaning in keys]
    return table(["setting", "value", "meaning"], rows, num_text=3) if rows else None


def training_table(info: "ModelInfo") -> Markdown | None:
    """List what the model file says about the training; None if it says nothing."""
    rows = [(code(key), value_text(value), meaning) for key, value, meaning in describe_training(info.training)]
    return table(["entry", "value", "meaning"], rows, num_text=3) if rows else None


def value_text(value: Any) -> str:
    """Write a value of a config."""
    match value:
        case None:
            return "null"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(map(value_text, value)) or "empty"
        case dict():
            return ", ".join(f"{key}: {value_text(inner)}" for key, inner in value.items()) or "empty"
        case _:
            return str(value) if value != "" else "empty"


def score_table(scores: Scores) -> Markdown:
    """List the mean scores with their intervals: each structure, then all."""
    heads = ["structure", "test images", *(label(metric) for metric in METRICS)]
    rows = [
        (name, f"{row.images:.0f}", *(with_interval(row, metric) for metric in METRICS))
        for name, row in scores.lines.items()
    ]
    return table(heads, rows, num_text=1)


def unscored(info: "ModelInfo", scores: Scores | None) -> list[str]:
    """List the structures that the model predicts and that have no score."""
    scored = set(map(str, scores.structures.structure)) if scores else set()
    return [name for name in info.structures if name not in scored]


def weak(scores: Scores | None) -> list[str]:
    """List the structures that are predicted no better than by the mean of each image."""
    return [str(row.structure) for row in scores.structures.itertuples() if row.r2 <= 0] if scores else []


def header(info: "ModelInfo", about: About, title: str, scores: Scores | None) -> str:
    """Return the YAML header of the card, as the Hugging Face Hub reads it."""
    values: dict[str, Any] = {
        **hub_license(about),
        "library_name": "ssp-model",
        "pipeline_tag": "image-to-image",
        "tags": ["microscopy", "label-free", "fluorescence", "3d", info.method.replace("_", "-")],
    }
    if scores:
        values["metrics"] = [HUB_METRICS.get(metric, metric) for metric in METRICS]
        values["model-index"] = [{"name": title, "results": results(scores, about)}]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def results(scores: Scores, about: About) -> list[dict[str, Any]]:
    """Return the scores in the form of the Hub: an entry for each structure, and for the means over all."""
    told = about.dataset.name if about.dataset else None
    name = f"{told or 'images without a name'}, test images"
    kind = re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-") if told else ""
    found = []
    for line, row in scores.lines.items():
        metrics = [
            {
                "type": HUB_METRICS.get(metric, metric),
                # never -0.0
                "value": round(float(row[metric]), METRIC[metric].digits) + 0.0,
                "name": f"{label(metric)}{interval_text(row, metric)}",
            }
            for metric in METRICS
            if pd.notna(row[metric])
        ]
        found.append(
            {
                "task": {"type": "image-to-image", "name": f"fluorescence from transmitted light: {line}"},
                "dataset": {"type": kind or UNKNOWN, "name": name, "split": "test"},
                "metrics": metrics,
            }
        )
    return found


def interval_text(row: pd.Series, metric: str) -> str:
    """Write the interval of a mean behind the name of its metric; nothing where there is none."""
    interval = with_interval(row, metric).partition(" (")[2].rstrip(")")
    return f", 95% interval {interval}" if interval else ""
