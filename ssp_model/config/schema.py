"""The config keys: science only. Defaults are in `config.yaml`; those of one method's own settings are here.

These models are the only description of the keys. `python -m ssp_model.config.docs` writes the JSON schema
(`workflow/schemas/config.schema.json`) and the table in `docs/config.md` from them, and a test checks that they agree.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, PydanticKnownError

from ssp_model.config.ablations import ABLATIONS

PATCH_STEP = 16
"""Sizes are multiples of this, because the network halves each axis four times."""
PAGES = {"benchmark", "compare", "data"}
"""Folders of `results/report` that hold pages of all experiments. They are emptied when these pages are made again."""
LONGEST_NAME = 100
"""File names of up to 255 bytes are made of the names, together with the name of an image and an ending."""
NULL_TEXTS = {"", "~", "null", "none"}
"""Texts that mean null where a key may be null, in upper or lower case."""
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
SHA256_PATTERN = "^[0-9a-f]{64}$"
FLIPS_PATTERN = "^z?y?x?$"
PATTERN_MEANINGS = {
    NAME_PATTERN: "have only the characters A-Z, a-z, 0-9, _ and -, and begin with a letter or a digit",
    SHA256_PATTERN: "be 64 characters of 0-9 and a-f",
    FLIPS_PATTERN: "be some of the letters zyx, in this order",
}
"""What a text should be or have, by its pattern."""


def _refuse_bool(error: Literal["int_type", "float_type"]) -> BeforeValidator:
    """Return a check that refuses true and false, which would count as 1 and 0."""

    def check(value: Any) -> Any:
        if isinstance(value, bool):
            raise PydanticKnownError(error)
        return value

    return BeforeValidator(check)


def _refuse_repeats(name: str) -> str:
    """Refuse a name that Snakemake takes for an endless loop between rules."""
    if repeats := re.search(r"(.+?)\1{19,}$", name):
        text = "should not end in {part} 20 times or more, because Snakemake refuses such names"
        raise PydanticCustomError("repeats", text, {"part": repr(repeats[1])})
    return name


def _expand_home(place: str) -> str:
    """Replace `~` or `~user` at the start of a path by the home folder."""
    try:
        return str(Path(place).expanduser()) if place.startswith("~") else place
    except RuntimeError:  # no such user: a file of this name may be there
        return place


def _read_digits(value: Any) -> Any:
    """Read a text of digits as a number, as all other keys that are numbers do."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]+", value) else value


def _check_channel(value: Any) -> Any:
    """Refuse what is neither the number nor the name of a channel."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if value is None or is_number or (isinstance(value, str) and value):
        return value
    raise PydanticCustomError("channel", "should be a channel's number, from 0, or its name")


# pydantic reads a text such as "3" as a number where a number is wanted. This must stay so: the command line of
# Snakemake gives the keys of a section as text, and YAML takes 1e-4 for text.
WHOLE, NUMBER = _refuse_bool("int_type"), _refuse_bool("float_type")
Count = Annotated[int, Field(ge=1), WHOLE]
Seed = Annotated[int, Field(ge=0, lt=2**32), WHOLE]
Channel = Annotated[int | str, BeforeValidator(_check_channel)]
Positive = Annotated[float, Field(gt=0), NUMBER]
Fraction = Annotated[float, Field(gt=0, lt=1), NUMBER]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=LONGEST_NAME), AfterValidator(_refuse_repeats)]
ZYX = Annotated[tuple[Positive, Positive, Positive], Field(examples=[[1, 0.37, 0.37]])]
PatchSize = Annotated[int, Field(gt=0, multiple_of=PATCH_STEP), WHOLE]
Patch = Annotated[tuple[PatchSize, PatchSize, PatchSize], Field(examples=[[32, 128, 128]])]
Width = Annotated[
    Count, Field(description="Channels of the first level, doubled at each of the four levels below. Published: 32.")
]
Address = Annotated[str, Field(min_length=1), AfterValidator(_expand_home)]
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]


class Section(BaseModel):
    """A section of the config. An unknown key is an error, and values can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_null(cls, values: Any) -> Any:
        """Read the text null as null where a key may be null: the command line of Snakemake has only text."""
        if not isinstance(values, dict):
            return values
        return {key: None if _means_null(cls.model_fields.get(key), value) else value for key, value in values.items()}


def _means_null(field: FieldInfo | None, value: Any) -> bool:
    may_be_null = field is not None and type(None) in get_args(field.annotation)
    return may_be_null and isinstance(value, str) and value.lower() in NULL_TEXTS


def sections_of(field: FieldInfo) -> list[type[Section]]:
    """Return the sections that a key may hold: none for a plain value, several if the method chooses."""
    options = getattr(field.annotation, "__args__", (field.annotation,))
    return [kind for kind in options if isinstance(kind, type) and issubclass(kind, Section)]


def example_of(field: FieldInfo) -> list[Any] | None:
    """Return an example of the list that a key wants; None if there is none."""
    notes = [field, *(note for kind in get_args(field.annotation) for note in getattr(kind, "__metadata__", ()))]
    return next((note.examples[0] for note in notes if getattr(note, "examples", None)), None)


def method_of(kind: type[Section]) -> str:
    """Return the name of the method whose settings a section holds."""
    return get_args(kind.model_fields["method"].annotation)[0]


class CollectionConfig(Section):
    """Where the images come from."""

    samples: Address | None = Field(
        description="Own table of samples (CSV), which lists image files by their paths or addresses (see "
        "docs/own-images.md); null for archives and image lists."
    )
    archives: Address = Field(
        description="Address of the archive (tar, also compressed, or zip) or folder of each structure's images; "
        "`{structure}` stands for its name. `https://`, `http://`, `s3://` (an object in S3), `file://` or a path."
    )
    lists: Address = Field(
        description="Address of the image list of each structure: a CSV file with the columns `path_czi`, "
        "`channel_signal` and `channel_target` (the first channel is 0)."
    )
    sha256: dict[Address, Sha256] = Field(
        description="SHA-256 checksums by address. A file whose address is here must match; others are not checked."
    )

    @model_validator(mode="after")
    def _templates_name_the_structure(self) -> Self:
        for key in ("archives", "lists"):
            if "{structure}" not in getattr(self, key):
                raise ValueError(f"{key} must hold {{structure}}, which stands for each structure's name")
        return self


class SplitSizes(Section):
    """Number of images in each split."""

    train: Count = Field(description="Number of images to train on.")
    val: Count = Field(description="Number of images to choose the best model with.")
    test: Count = Field(description="Number of images to test the model on.")


class DnaConfig(Section):
    """One more structure, whose images are drawn from those of the others (the DNA dye is in most images)."""

    name: Name = Field(
        description="Name of the structure whose images are drawn from those of the others. Its image list says which "
        "images have it."
    )
    quota: SplitSizes = Field(description="Number of images to draw for each split.")


class SplitConfig(Section):
    """How the images of each structure are split."""

    seed: Seed = Field(description="Random seed of the shuffles.")
    train_fraction: Fraction = Field(
        description="Share of a structure's images for training and validation; the rest is for testing."
    )
    fit_fraction: Fraction = Field(description="Share of those images for training; the rest is for validation.")


class PreprocessConfig(Section):
    """How a raw image becomes a volume at training resolution."""

    scale: ZYX | None = Field(description="Resize factors (Z, Y, X). Give this or `voxel_size_um`; the other is null.")
    voxel_size_um: ZYX | None = Field(
        description="Wanted voxel size (Z, Y, X) in um. Each file is then resized according to its own pixel sizes."
    )
    on_bad_image: Literal["stop", "skip"] = Field(
        description="What to do if an image can't be used (constant, corrupt, missing). `stop`: name all such images "
        "of the structure and end. `skip`: leave them out and list them in the report."
    )

    @model_validator(mode="after")
    def _one_of_scale_and_voxel_size(self) -> Self:
        if (self.scale is None) == (self.voxel_size_um is None):
            raise ValueError("give either scale or voxel_size_um, and set the other to null")
        return self


def _refuse_repeated_kernels(experts: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse several experts that are large convolutions."""
    for kind in ("conv5", "conv3"):
        if experts.count(kind) > 1:
            raise PydanticCustomError("experts", "should have {kind} only once", {"kind": kind})
    return experts


Expert = Literal["conv5", "conv3", "conv1", "pool1", "pool3", "pool5"]


class RepModeConfig(Section):
    """The method RepMode. The keys after `width` are those of its ablations (`config/ablations.py`)."""

    method: Literal["repmode"] = Field(
        description="RepMode (CVPR 2023), five experts merged into one kernel for each structure."
    )
    width: Width
    mode_in: Literal["both", "encoder", "decoder"] = Field(
        default="both",
        description="Only of `repmode`: which convolutions differ between structures, those of the `encoder` (with the "
        "bottleneck), of the `decoder` (with the last convolution), or `both`. Others are plain.",
    )
    experts: Annotated[tuple[Expert, ...], Field(min_length=1), AfterValidator(_refuse_repeated_kernels)] = Field(
        default=("conv5", "conv3", "conv1", "pool3", "pool5"),
        examples=[["conv5", "conv3", "conv1", "pool3", "pool5"]],
        description="Only of `repmode`: experts of each convolution. `conv5` is a convolution of 5^3 voxels, `pool5` "
        "an average over 5^3 voxels with a convolution of 1^3. `conv1` and the averages may come several times.",
    )
    gate: Literal["softmax", "sigmoid"] = Field(
        default="softmax",
        description="Only of `repmode`: `softmax` for weights of the experts that sum to one, `sigmoid` for weights "
        "that do not depend on each other.",
    )
    gate_layers: Annotated[Literal[1, 2], BeforeValidator(_read_digits), WHOLE] = Field(
        default=1, description="Only of `repmode`: layers between the structure's code and the weights, 1 or 2."
    )
    task_embedding: Literal["one_hot", "gaussian"] = Field(
        default="one_hot",
        description="Only of `repmode`: code of a structure, `one_hot` or `gaussian` (a fixed random vector).",
    )


Kernel = Annotated[
    Literal[5, 3],
    BeforeValidator(_read_digits),
    Field(description="Not of `repmode`: voxels of a convolution kernel along each axis, 5 or 3."),
]


class PlainConfig(Section):
    """A method on the plain U-Net."""

    width: Width
    kernel: Kernel = 5


class MultiNetConfig(PlainConfig):
    """The method Multi-Net."""

    method: Literal["multi_net"] = Field(
        description="Multi-Net, a plain U-Net for each structure, each trained in a job of its own."
    )


class MultiHeadDecoderConfig(PlainConfig):
    """The method Multi-Head (Dec.)."""

    method: Literal["multi_head_decoder"] = Field(
        description="Multi-Head (Dec.), one plain encoder, and a decoder for each structure."
    )


class MultiHeadLastConfig(PlainConfig):
    """The method Multi-Head (Las.)."""

    method: Literal["multi_head_last"] = Field(
        description="Multi-Head (Las.), one plain U-Net whose last convolution has a channel for each structure."
    )


class CondNetConfig(PlainConfig):
    """The method CondNet."""

    method: Literal["condnet"] = Field(description="CondNet, a plain U-Net whose decoder reads the structure as maps.")


class TSNsConfig(PlainConfig):
    """The method TSNs."""

    method: Literal["tsns"] = Field(
        description="TSNs, a plain U-Net; the structure sets scale and shift in decoder and skips."
    )


class PIPOFANConfig(PlainConfig):
    """The method PIPO-FAN."""

    method: Literal["pipo_fan"] = Field(
        description="PIPO-FAN, a plain U-Net that reads the image and predicts all structures at five scales."
    )


class DoDNetConfig(PlainConfig):
    """The method DoDNet."""

    method: Literal["dodnet"] = Field(
        description="DoDNet, a plain U-Net whose last layers are generated from the structure and the image."
    )


class TGNetConfig(PlainConfig):
    """The method TGNet-style."""

    method: Literal["tgnet"] = Field(
        description="TGNet-style, a plain U-Net; structure and image gate the channels of each level and the skips."
    )


ModelConfig = (
    RepModeConfig
    | MultiNetConfig
    | MultiHeadDecoderConfig
    | MultiHeadLastConfig
    | CondNetConfig
    | TSNsConfig
    | PIPOFANConfig
    | DoDNetConfig
    | TGNetConfig
)
"""The method's name and its own settings."""


def _one_of(names: Sequence[str]) -> AfterValidator:
    """Return a check that a text is one of some names."""
    listed = ", ".join(map(repr, names))

    def check(name: str) -> str:
        if name not in names:
            raise PydanticCustomError("name", "should be one of {names}", {"names": listed})
        return name

    return AfterValidator(check)


METHOD_NAMES = [method_of(kind) for kind in get_args(ModelConfig)]
MethodName = Annotated[str, _one_of(METHOD_NAMES), Field(json_schema_extra={"enum": METHOD_NAMES})]
AblationName = Annotated[str, _one_of([*ABLATIONS]), Field(json_schema_extra={"enum": [*ABLATIONS]})]


def parse_model(values: dict[str, Any]) -> ModelConfig:
    """Return the settings of a method from plain values, such as `model_dump` returns."""
    adapter: TypeAdapter[ModelConfig] = TypeAdapter(Annotated[ModelConfig, Field(discriminator="method")])
    return adapter.validate_python(values)


class TrainConfig(Section):
    """The training."""

    patch: Patch = Field(description=f"Size of the crops (Z, Y, X) in voxels; multiples of {PATCH_STEP}.")
    epochs: Count = Field(description="Number of epochs. In an epoch, each training sample gives one random crop.")
    batch_size: Count = Field(description="Number of crops in a training step.")
    learning_rate: Positive = Field(description="Learning rate of the optimizer (Adam).")
    schedule: Literal["constant", "cosine"] = Field(
        description="Learning rate during the training: `constant`, or `cosine`, which falls to zero along half a "
        "cosine."
    )
    warmup_steps: Annotated[int, Field(ge=0), WHOLE] = Field(
        description="Number of steps in which the learning rate rises linearly at the start; 0 for none."
    )
    weight_decay: Annotated[float, Field(ge=0), NUMBER] = Field(
        description="Decoupled weight decay (AdamW). With 0 the optimizer is Adam."
    )
    gradient_clip: Positive | None = Field(description="Largest norm of the gradient; null for no limit.")
    ema: Fraction | None = Field(
        description="Decay of a running average of the weights. The averaged weights are then validated and "
        "saved. Null for none."
    )
    early_stopping: Count | None = Field(
        description="The training ends after this number of validations without a better model; null for never."
    )
    keep_every: Count | None = Field(
        description="Number of epochs after which a model is saved again in `results/training`; null for never."
    )
    validate_every: Count = Field(
        description="Epochs from one validation to the next. A validation predicts whole images."
    )
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        description="Number format of the network: `auto` is bf16 where the hardware has units for it, fp16 on "
        "older GPUs, float32 otherwise."
    )


class TrainOrExtendConfig(TrainConfig):
    """The training, and the model that it extends."""

    extend: Address | None = Field(
        description="Model to extend by the one structure that it does not know: a path, "
        "`https://...#sha256=...` or `s3://` (see docs/models.md); null to train a new model. The method and its "
        "settings are then those of the file."
    )


class TrackingConfig(Section):
    """Where a training reports to."""

    wandb: Literal["offline", "online", "disabled"] = Field(
        description="Weights & Biases: `offline` writes its files beside the model, to upload later with `wandb sync`; "
        "`online` uploads them during the training; `disabled` writes none."
    )
    project: str = Field(min_length=1, description="Project in Weights & Biases.")


class PredictConfig(Section):
    """The sliding window over whole images."""

    patch: Patch | None = Field(
        description="Size of a window (Z, Y, X); null for the size of the crops that the model was trained on."
    )
    overlap: Annotated[float, Field(ge=0, lt=1), NUMBER] = Field(
        description="Share of a window that the next window covers again, from 0 to below 1."
    )
    flips: Annotated[str, Field(pattern=FLIPS_PATTERN)] = Field(
        description="Axes, such as `zyx`, along which windows are also predicted flipped. The predictions are "
        "averaged. Each axis doubles the work. Empty for none."
    )


UncertaintyKind = Literal["flips", "seeds", "both"]


class PredictImagesConfig(PredictConfig):
    """The sliding window over whole images, images to predict, and their uncertainty."""

    images: tuple[Address, ...] | None = Field(
        description="Images to predict with the model: files, patterns (`plates/*.czi`), folders, and tables (`.csv`, "
        "with a column `image`); null for none. `snakemake predict` predicts them."
    )
    channel: Channel | None = Field(
        description="Channel of the transmitted light in these images: its number (the first is 0) or name. A table "
        "may give it for each image. Null for images with a single channel."
    )
    grid: Literal["image", "model"] = Field(
        description="Voxels of these predictions: those of the `image`, or at the voxel size of the `model`."
    )
    format: Literal["ome-tiff", "ome-zarr"] = Field(
        description="File format of these predictions: `ome-tiff` or `ome-zarr`."
    )
    pixels: Literal["float32", "uint16"] = Field(
        description="Numbers in these predictions: `float32` for standardised intensities; `uint16` for each channel "
        "over its own range, which the file tells. `uint16` takes half the disk."
    )
    images_per_job: Count = Field(description="Number of these images that one job predicts.")
    uncertainty: UncertaintyKind | None = Field(
        description="Also say how uncertain each voxel is (see docs/scores.md): by the spread of the predictions "
        "over `flips` of the image, over the models of all `seeds`, or over `both`. The prediction is then their mean. "
        "It takes as many times longer as there are predictions. Null for off."
    )


PANEL_NAMES = ("noise", "resolution", "objects")
"""The panels of `evaluation/panels.py`."""
PanelName = Annotated[str, _one_of(PANEL_NAMES), Field(json_schema_extra={"enum": list(PANEL_NAMES)})]


ObjectKind = Literal["filled", "shells", "spots", "filaments", "none"]


class ScoringConfig(Section):
    """What is measured besides the errors of voxels."""

    panels: tuple[PanelName, ...] = Field(
        examples=[["noise", "resolution"]],
        description="What is measured besides the errors of voxels (see docs/scores.md). Each takes up to a second for "
        "a test image, so leave out what you don't need. `[]` for none.",
    )
    objects: dict[Name, ObjectKind] = Field(
        examples=[{"tom20": "filaments"}],
        description="How structures are segmented for the panel `objects`: `filled`, `shells`, `spots`, `filaments` or "
        "`none`. The structures of the Allen collection have a default. Others that are not given are left out.",
    )


class EvaluateConfig(ScoringConfig):
    """What is evaluated, and which images are kept."""

    model: Address | None = Field(
        description="Model to evaluate: a path, `https://...#sha256=...` or `s3://` (see docs/models.md); null for "
        "the model that is trained. With a model, nothing is trained."
    )
    test_set: Address | None = Field(
        description="Dataset (HDF5, a path or `s3://`) to evaluate on; null for the test split. With a dataset, images "
        "are downloaded only if the training needs them."
    )
    save_images: Literal["pictured", "all"] = Field(
        description="Which predictions to save as OME-TIFF, with signal and target: those `pictured` in the report "
        "(best, median and worst of each structure), or `all`."
    )


class BenchmarkConfig(Section):
    """What `snakemake benchmark` compares, all with the same data, training and seeds, and with `model.width`."""

    methods: tuple[MethodName, ...] | None = Field(
        examples=[["repmode", "multi_net"]], description="Methods to compare; null for all."
    )
    ablations: tuple[AblationName, ...] | None = Field(
        examples=[["without_1", "sigmoid_gate"]],
        description="Changes of RepMode, which show what its parts do; null for all, `[]` for none.",
    )
    increments: tuple[Name, ...] = Field(
        examples=[["fibrillarin"]],
        description="Structures that a model of all others learns afterwards, without forgetting; `[]` for none.",
    )
    kernel: Annotated[Literal[5, 3], BeforeValidator(_read_digits)] = Field(
        description="Voxels of a convolution kernel along each axis, 5 or 3, in all methods but RepMode."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for key in ("methods", "ablations", "increments"):
            names = getattr(self, key) or ()
            if len(set(names)) < len(names):
                raise ValueError(f"{key} must all differ")
        return self


class Config(Section):
    """Everything that a run depends on."""

    experiment: Name = Field(description="Name of this experiment, and of its folders under `results`.")
    seeds: tuple[Seed, ...] = Field(
        min_length=1, examples=[[0, 1]], description="Random seeds. Each seed is one training."
    )
    structures: Annotated[tuple[Name, ...], Field(min_length=1)] | None = Field(
        examples=[["tom20", "zo1"]],
        description="Structures to train on. Each has an archive and an image list, or rows in the own table of "
        "samples; null for all of the table.",
    )
    collection: CollectionConfig
    dna: DnaConfig | None = Field(
        description="Structure whose images are drawn from those of the others; null for none."
    )
    split: SplitConfig
    preprocess: PreprocessConfig
    model: ModelConfig = Field(discriminator="method")
    train: TrainOrExtendConfig
    tracking: TrackingConfig
    predict: PredictImagesConfig
    evaluate: EvaluateConfig
    about: Address | None = Field(
        description="YAML file (a path or `s3://`) of what only you know about the images and the model, for the model "
        "card (see docs/model-card.md); null if there is none. The card then says that it is unknown."
    )
    benchmark: BenchmarkConfig

    @property
    def tasks(self) -> list[str]:
        """All structures in alphabetical order, which is the order of the tasks. The drawn structure is included."""
        return sorted([*(self.structures or ()), *([self.dna.name] if self.dna else [])])

    @model_validator(mode="after")
    def _structures_are_given(self) -> Self:
        if self.structures is None and self.collection.samples is None:
            raise ValueError("structures must be a list where collection.samples is null")
        if self.collection.samples is not None and self.dna is not None:
            raise ValueError("dna must be null with collection.samples: its images are rows of the table like others")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = self.tasks
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"structures and dna.name must all differ, but {', '.join(doubled)} comes twice")
        if "signal" in names:
            raise ValueError("no structure can be called signal: that is the transmitted light")
        if self.experiment in PAGES:
            raise ValueError(f"the experiment can't be called {self.experiment}: a page of the report has this name")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must all differ")
        if self.evaluate.model and len(self.seeds) > 1:
            raise ValueError("evaluate.model is one model, so there can be only one of seeds")
        return self

    @model_validator(mode="after")
    def _uncertainty_has_models(self) -> Self:
        kind = self.predict.uncertainty
        if kind in ("seeds", "both") and len(self.seeds) == 1:
            mend = "" if self.evaluate.model else "several seeds, such as seeds: [0, 1, 2], or "
            source = "evaluate.model is one" if self.evaluate.model else "there is only one of seeds"
            raise ValueError(
                f"predict.uncertainty is {kind!r}, which needs several models, but {source}; give {mend}flips in its "
                "place"
            )
        return self
