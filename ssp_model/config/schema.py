"""The configuration: science only. Every default stands in `config.yaml`; a method's own settings have theirs here.

These models are the one description of the keys: the JSON schema (`workflow/schemas/config.schema.json`) and the
table in `docs/config.md` are written from them by `python -m ssp_model.config.docs`, and a test holds them together.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.fields import FieldInfo

PATCH_STEP = 16
"""The network halves each axis four times."""

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
ZYX = tuple[Positive, Positive, Positive]
PatchSize = Annotated[int, Field(gt=0, multiple_of=PATCH_STEP)]
Width = Annotated[
    int, Field(ge=1, description="Channels of the first level, doubled at each of the four below; published: 32.")
]
Address = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Section(BaseModel):
    """A part of the configuration: closed (an unknown key is an error) and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def sections_of(field: FieldInfo) -> list[type[Section]]:
    """Return the sections that a key may hold: none for a plain value, several where a method chooses."""
    options = getattr(field.annotation, "__args__", (field.annotation,))
    return [kind for kind in options if isinstance(kind, type) and issubclass(kind, Section)]


class CollectionConfig(Section):
    """Where the images come from."""

    archives: Address = Field(
        description="Address of each structure's `.tar.gz` of images; `{structure}` is filled in. "
        "`https://`, `http://`, `s3://` (an object in S3), `file://` or a plain path."
    )
    lists: Address = Field(
        description="Address of each structure's image list, a CSV with the columns `path_czi`, "
        "`channel_signal` and `channel_target` (channels count from 0)."
    )
    sha256: dict[str, Sha256] = Field(
        description="Checksums by address; a file whose address is here must match. Others are not checked."
    )

    @model_validator(mode="after")
    def _templates_name_the_structure(self) -> Self:
        for key in ("archives", "lists"):
            if "{structure}" not in getattr(self, key):
                raise ValueError(f"{key} must hold {{structure}}, which stands for each structure's name")
        return self


class SplitSizes(Section):
    """A number of images for each split."""

    train: int = Field(ge=1, description="Images to train on.")
    val: int = Field(ge=1, description="Images to choose the best model by.")
    test: int = Field(ge=1, description="Images to measure the model on.")


class DnaConfig(Section):
    """A further structure whose images are drawn from those of the others (the DNA dye is in most of them)."""

    name: Name = Field(description="Its name; its candidates are the image list of that name.")
    quota: SplitSizes = Field(description="How many images to draw for each split.")


class SplitConfig(Section):
    """How each structure's images are split."""

    seed: int = Field(ge=0, description="Seed of the shuffles.")
    train_fraction: Fraction = Field(description="Share of a structure's images not kept for testing.")
    fit_fraction: Fraction = Field(description="Share of those that are trained on; the rest validate.")


class PreprocessConfig(Section):
    """How a raw image becomes a volume at training resolution."""

    scale: ZYX | None = Field(description="Resize factors (Z, Y, X). Either this or `voxel_size_um`, the other null.")
    voxel_size_um: ZYX | None = Field(
        description="Voxel size wanted (Z, Y, X), in um; factors then follow from each file's own pixel sizes."
    )
    on_bad_image: Literal["stop", "skip"] = Field(
        description="What to do about an image that can't be used (constant, corrupt, missing): `stop` names all "
        "of the structure's and ends; `skip` leaves them out and lists them in the report."
    )

    @model_validator(mode="after")
    def _one_of_scale_and_voxel_size(self) -> Self:
        if (self.scale is None) == (self.voxel_size_um is None):
            raise ValueError("give either scale or voxel_size_um, and set the other to null")
        return self


class RepModeConfig(Section):
    """The method RepMode."""

    title: ClassVar[str] = "RepMode"
    method: Literal["repmode"] = Field(description="RepMode (CVPR 2023): five experts merged into one kernel a task.")
    width: Width


class MultiHeadLastConfig(Section):
    """The method Multi-Head (Las.)."""

    title: ClassVar[str] = "Multi-Head (Las.)"
    method: Literal["multi_head_last"] = Field(
        description="One plain U-Net; its last convolution has a channel a task."
    )
    width: Width
    kernel: Literal[5, 3] = Field(5, description="Size of the convolutions' kernels along each axis, in voxels.")


ModelConfig = RepModeConfig | MultiHeadLastConfig
"""The network: the name of its method, and the method's own settings."""


def parse_model(values: dict[str, Any]) -> ModelConfig:
    """Return the settings of a method from plain values, as `model_dump` gives."""
    adapter: TypeAdapter[ModelConfig] = TypeAdapter(Annotated[ModelConfig, Field(discriminator="method")])
    return adapter.validate_python(values)


def method_title(method: str) -> str:
    """Return what the paper calls a method."""
    return {kind.model_fields["method"].annotation.__args__[0]: kind.title for kind in ModelConfig.__args__}[method]


class TrainConfig(Section):
    """The training."""

    patch: tuple[PatchSize, PatchSize, PatchSize] = Field(
        description=f"Size of the crops (Z, Y, X) in voxels, multiples of {PATCH_STEP}."
    )
    epochs: int = Field(ge=1, description="Epochs; in one, each training image gives one random crop.")
    batch_size: int = Field(ge=1, description="Crops a step.")
    learning_rate: Positive = Field(description="Adam's learning rate.")
    schedule: Literal["constant", "cosine"] = Field(
        description="Learning rate over the training: `constant`, or falling to zero along half a `cosine`."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        description="Steps over which the learning rate first rises linearly; 0 for none."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        description="Decoupled weight decay (AdamW); with 0 this is Adam."
    )
    gradient_clip: Positive | None = Field(description="Largest norm of the gradient, or null for no limit.")
    ema: Fraction | None = Field(
        description="Decay of a running average of the weights, which then is validated and kept; null for none."
    )
    early_stopping: Annotated[int, Field(ge=1)] | None = Field(
        description="Validations without a better model after which training ends, or null."
    )
    keep_every: Annotated[int, Field(ge=1)] | None = Field(
        description="Epochs after which a model is kept besides the best, under `results/training`; null for none."
    )
    validate_every: int = Field(ge=1, description="Epochs between validations on whole images.")
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        description="Arithmetic of the network: `auto` takes bf16 where the hardware has units for it, fp16 on "
        "older GPUs, float32 otherwise."
    )


class TrackingConfig(Section):
    """Who follows a training."""

    wandb: Literal["offline", "online", "disabled"] = Field(
        description="Weights & Biases: `offline` writes a run beside the model, to look at or `wandb sync` later; "
        "`online` sends it as it comes; or `disabled`."
    )
    project: str = Field(min_length=1, description="The project there.")


class PredictConfig(Section):
    """The sliding window over whole images."""

    patch: tuple[PatchSize, PatchSize, PatchSize] | None = Field(
        description="Size of a window (Z, Y, X), or null for that of the crops the model was trained on."
    )
    overlap: Annotated[float, Field(ge=0, lt=1)] = Field(description="Overlap of neighbouring windows.")
    flips: Annotated[str, Field(pattern="^z?y?x?$")] = Field(
        description="Axes, such as `zyx`, along which windows are also predicted flipped, then averaged; each doubles "
        "the work. Empty for none."
    )


class EvaluateConfig(Section):
    """What the evaluation keeps."""

    model: str | None = Field(
        description="A model file (a path or `s3://`) to evaluate instead of training one, or null; nothing is "
        "trained then."
    )
    test_set: str | None = Field(
        description="A dataset (HDF5, a path or `s3://`) to evaluate on instead of the test split, or null; no image "
        "is downloaded then unless training needs it."
    )
    save_images: Literal["pictured", "all"] = Field(
        description="Predictions to keep as OME-TIFF, with signal and target: those `pictured` in the report (best, "
        "median and worst of each structure), or `all`."
    )


class Config(Section):
    """Everything a run depends on."""

    experiment: Name = Field(description="Name of the run, of its folder under `results/models`.")
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = Field(
        description="One training a seed."
    )
    structures: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Structures to train on, each with an archive and an image list."
    )
    collection: CollectionConfig
    dna: DnaConfig | None = Field(description="The structure drawn from the images of the others, or null.")
    split: SplitConfig
    preprocess: PreprocessConfig
    model: ModelConfig = Field(discriminator="method")
    train: TrainConfig
    tracking: TrackingConfig
    predict: PredictConfig
    evaluate: EvaluateConfig

    @property
    def tasks(self) -> list[str]:
        """All structures, the one drawn from the others included, alphabetically: the order of the tasks."""
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
