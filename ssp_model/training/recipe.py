"""The settings of a training, and what its checkpoint says of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssp_model.config.schema import ModelConfig, PredictConfig, TrainConfig
from ssp_model.data.dataset import Dataset
from ssp_model.files import sha256_of


@dataclass(frozen=True)
class Recipe:
    """What the result of a training depends on, apart from its data.

    Attributes
    ----------
    model, train, predict : ModelConfig, TrainConfig, PredictConfig
        Sections of the config.
    experiment : str
    seed : int
        Random seed for weights, crops and their order.
    structures : tuple of str, or None
        Use only the samples of these structures; None for all.
    extends : path, or None
        Model file to extend by one structure, the one that the model does not know. The settings of the method are then
        those of the file.
    """

    model: ModelConfig
    train: TrainConfig
    predict: PredictConfig
    experiment: str
    seed: int
    structures: tuple[str, ...] | None = None
    extends: Path | None = None

    def sections(self) -> dict[str, Any]:
        """Return the sections as plain values."""
        # which model is extended is told by its content
        train = self.train.model_dump(include=set(TrainConfig.model_fields))
        return {"model": self.model.model_dump(), "train": train, "predict": self.predict.model_dump()}

    def identity(self, train_set: Dataset, val_set: Dataset) -> dict[str, Any]:
        """Return what must be the same in a checkpoint to resume from it."""
        data = {"train": train_set.digest(), "val": val_set.digest()}
        part = {"structures": self.structures, "extends": sha256_of(self.extends) if self.extends else None}
        return self.sections() | {"experiment": self.experiment, "seed": self.seed, "data": data} | part

    def settings(self, train_set: Dataset) -> dict[str, Any]:
        """Return the config that the model depends on, including the config of the data."""
        return train_set.config | self.sections() | {"seed": self.seed}
