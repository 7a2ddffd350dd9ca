"""The config keys: science only. Defaults are in `config.yaml`; those of one method's own settings are here.

These models are the only description of the keys. `python -m ssp_model.config.docs` writes the JSON schema
(`workflow/schemas/config.schema.json`) and the table in `docs/config.md` from them, and a test checks that they agree.
"""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.fields import FieldInfo

PATCH_STEP = 16
"""Sizes are multiples of this, because the network halves each axis four times."""

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
ZYX = tuple[Positive, Positive, Positive]
PatchSize = Annotated[int, Field(gt=0, multiple_of=PATCH_STEP)]
Width = Annotated[
    int,
    Field(
        ge=1,
        description="Channels of the first level, doubled at each of the four levels below. Published: 32.",
    ),
]
Address = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Section(BaseModel):
    """A section of the config. An unknown key is an error, and values can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def sections_of(field: FieldInfo) -> list[type[Section]]:
    """Return the sections that a key may hold: none for a plain value, several if the method chooses."""
    options = getattr(field.annotation, "__args__", (field.annotation,))
    return [kind for kind in options if isinstance(kind, type) and issubclass(kind, Section)]


def method_of(kind: type[Section]) -> str:
    """Return the name of the method whose settings a section holds."""
    return get_args(kind.model_fields["method"].annotation)[0]


class CollectionConfig(Section):
    """Where the images come from."""

    archives: Address = Field(
        description="Address of the image archive (`.tar.gz`) of each structure; `{structure}` stands for its name. "
        "`https://`, `http://`, `s3://` (an object in S3), `file://` or a path."
    )
    lists: Address = Field(
        description="Address of the image list of each structure: a CSV file with the columns `path_czi`, "
        "`channel_signal` and `channel_target` (the first channel is 0)."
    )
    sha256: dict[str, Sha256] = Field(
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

    train: int = Field(ge=1, description="Number of images to train on.")
    val: int = Field(ge=1, description="Number of images to choose the best model with.")
    test: int = Field(ge=1, description="Number of images to test the model on.")


class DnaConfig(Section):
    """One more structure, whose images are drawn from those of the others (the DNA dye is in most images)."""

    name: Name = Field(
        description="Name of the structure whose images are drawn from those of the others. Its image list says which "
        "images have it."
    )
    quota: SplitSizes = Field(description="Number of images to draw for each split.")


class SplitConfig(Section):
    """How the images of each structure are split."""

    seed: int = Field(ge=0, description="Random seed of the shuffles.")
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


class RepModeConfig(Section):
    """The method RepMode."""

    method: Literal["repmode"] = Field(
        description="RepMode (CVPR 2023), five experts merged into one kernel for each structure."
    )
    width: Width


class MultiHeadLastConfig(Section):
    """The method Multi-Head (Las.)."""

    method: Literal["multi_head_last"] = Field(
        description="Multi-Head (Las.), one plain U-Net whose last convolution has a channel for each structure."
    )
    width: Width
    kernel: Literal[5, 3] = Field(
        5, description="`multi_head_last` only: voxels of a convolution kernel along each axis, 5 or 3."
    )


ModelConfig = RepModeConfig | MultiHeadLastConfig
"""The method's name and its own settings."""


def parse_model(values: dict[str, Any]) -> ModelConfig:
    """Return the settings of a method from plain values, such as `model_dump` returns."""
    adapter: TypeAdapter[ModelConfig] = TypeAdapter(Annotated[ModelConfig, Field(discriminator="method")])
    return adapter.validate_python(values)


class TrainConfig(Section):
    """The training."""

    patch: tuple[PatchSize, PatchSize, PatchSize] = Field(
        description=f"Size of the crops (Z, Y, X) in voxels; multiples of {PATCH_STEP}."
    )
    epochs: int = Field(ge=1, description="Number of epochs. In an epoch, each training sample gives one random crop.")
    batch_size: int = Field(ge=1, description="Number of crops in a training step.")
    learning_rate: Positive = Field(description="Learning rate of the optimizer (Adam).")
    schedule: Literal["constant", "cosine"] = Field(
        description="Learning rate during the training: `constant`, or `cosine`, which falls to zero along half a "
        "cosine."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        description="Number of steps in which the learning rate rises linearly at the start; 0 for none."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        description="Decoupled weight decay (AdamW). With 0 the optimizer is Adam."
    )
    gradient_clip: Positive | None = Field(description="Largest norm of the gradient; null for no limit.")
    ema: Fraction | None = Field(
        description="Decay of a running average of the weights. The averaged weights are then validated and "
        "saved. Null for none."
    )
    early_stopping: Annotated[int, Field(ge=1)] | None = Field(
        description="The training ends after this number of validations without a better model; null for never."
    )
    keep_every: Annotated[int, Field(ge=1)] | None = Field(
        description="Number of epochs after which a model is saved again in `results/training`; null for never."
    )
    validate_every: int = Field(
        ge=1, description="Epochs from one validation to the next. A validation predicts whole images."
    )
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        description="Number format of the network: `auto` is bf16 where the hardware has units for it, fp16 on "
        "older GPUs, float32 otherwise."
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

    patch: tuple[PatchSize, PatchSize, PatchSize] | None = Field(
        description="Size of a window (Z, Y, X); null for the size of the crops that the model was trained on."
    )
    overlap: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Share of a window that the next window covers again, from 0 to below 1."
    )
    flips: Annotated[str, Field(pattern="^z?y?x?$")] = Field(
        description="Axes, such as `zyx`, along which windows are also predicted flipped. The predictions are "
        "averaged. Each axis doubles the work. Empty for none."
    )


class EvaluateConfig(Section):
    """What is evaluated, and which images are kept."""

    model: str | None = Field(
        description="Model file (a path or `s3://`) to evaluate; null for the model that is trained. With a model "
        "file, nothing is trained."
    )
    test_set: str | None = Field(
        description="Dataset (HDF5, a path or `s3://`) to evaluate on; null for the test split. With a dataset, images "
        "are downloaded only if the training needs them."
    )
    save_images: Literal["pictured", "all"] = Field(
        description="Which predictions to save as OME-TIFF, with signal and target: those `pictured` in the report "
        "(best, median and worst of each structure), or `all`."
    )


class Config(Section):
    """Everything that a run depends on."""

    experiment: Name = Field(description="Name of this experiment, and of its folders under `results`.")
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = Field(
        description="Random seeds. Each seed is one training."
    )
    structures: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Structures to train on. Each has an archive and an image list."
    )
    collection: CollectionConfig
    dna: DnaConfig | None = Field(
        description="Structure whose images are drawn from those of the others; null for none."
    )
    split: SplitConfig
    preprocess: PreprocessConfig
    model: ModelConfig = Field(discriminator="method")
    train: TrainConfig
    tracking: TrackingConfig
    predict: PredictConfig
    evaluate: EvaluateConfig

    @property
    def tasks(self) -> list[str]:
        """All structures in alphabetical order, which is the order of the tasks. The drawn structure is included."""
        return sorted([*self.structures, *([self.dna.name] if self.dna else [])])

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = self.tasks
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"structures and dna.name must all differ, but {', '.join(doubled)} comes twice")
        if "signal" in names:
            raise ValueError("no structure can be called signal: that is the transmitted light")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must all differ")
        if self.evaluate.model and len(self.seeds) > 1:
            raise ValueError("evaluate.model is one model, so there can be only one of seeds")
        return self
