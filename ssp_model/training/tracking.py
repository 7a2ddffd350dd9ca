"""Show a training in Weights & Biases, for people who watch many trainings at once.

The event log of the training is complete. The tracker copies its new lines whenever a checkpoint is saved, and notes
how far it is. So a training that is killed and resumes continues the same Weights & Biases run, without gaps or
repeats.
"""

import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ssp_model.config.schema import TrackingConfig
from ssp_model.errors import InputError
from ssp_model.files import replacing

Images = Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""By structure: signal, target and prediction, (Z, Y, X) each."""


class Tracker:
    """Track nothing."""

    wants_pictures = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def picture(self, epoch: int, images: Images) -> None:
        """Keep a picture of a validation."""

    def catch_up(self, events: Path, length: int) -> None:
        """Copy the new lines among the first `length` bytes of the event log."""


class WandbTracker(Tracker):
    """A Weights & Biases run.

    Parameters
    ----------
    folder : path
        Folder of the run: its files, pictures, and `run.json`, which holds its id and how much of the event log it has.
    config : TrackingConfig
    name : str
        The run's name.
    settings : dict
        The config to show.
    resumes : bool
        Whether the training resumes. Then the run continues too.

    Raises
    ------
    InputError
        wandb can't start, for example without a login.
    """

    wants_pictures = True

    def __init__(
        self, folder: Path, config: TrackingConfig, *, name: str, settings: dict[str, Any], resumes: bool
    ) -> None:
        import wandb

        self.memo = folder / "run.json"
        known = json.loads(self.memo.read_text()) if resumes and self.memo.exists() else {}
        self.id, self.sent, self.step = (
            known.get("id", secrets.token_hex(4)),
            known.get("sent", 0),
            known.get("step", 0),
        )
        self.pictures = folder / "pictures"
        if not resumes:
            shutil.rmtree(self.pictures, ignore_errors=True)
        self.pictures.mkdir(parents=True, exist_ok=True)
        try:
            self.run = wandb.init(
                project=config.project,
                name=name,
                id=self.id,
                resume="allow" if config.wandb == "online" else None,
                mode=config.wandb,
                dir=folder,
                config=settings,
                settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
            )
            # draw rows over this; wandb's own count of rows continues by itself when a run is resumed
            self.run.define_metric("*", step_metric="step")
        except wandb.Error as error:
            raise InputError(
                f"Weights & Biases can't track this training ({error}); run `wandb login`, or set tracking.wandb to "
                "offline or disabled."
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run.finish(exit_code=0 if kind is None else 1)

    def picture(self, epoch: int, images: Images) -> None:
        """Keep a picture of a validation."""
        from ssp_model.figures.style import save
        from ssp_model.figures.training import plot_validation

        save(plot_validation(images), self.pictures / f"epoch-{epoch:04d}.png", suffixes=(".png",))

    def catch_up(self, events: Path, length: int) -> None:
        """Copy the new lines among the first `length` bytes of the event log."""
        with events.open("rb") as file:
            file.seek(self.sent)
            for line in file.read(length - self.sent).splitlines():
                self._send(json.loads(line))
        self.sent = length
        with replacing(self.memo) as temporary:
            temporary.write_text(json.dumps({"id": self.id, "sent": self.sent, "step": self.step}))

    def _send(self, event: dict[str, Any]) -> None:
        import wandb

        kind = event.pop("event")
        # the values of an epoch belong to its last step
        self.step = event.pop("step", self.step)
        values: dict[str, Any] = {"step": self.step, **{f"{kind}/{name}": value for name, value in event.items()}}
        picture = self.pictures / f"epoch-{event['epoch']:04d}.png"
        if "val_mse" in event and picture.exists():
            values["validation"] = wandb.Image(str(picture))
        self.run.log(values)


def track(
    folder: Path, config: TrackingConfig | None, *, name: str, settings: dict[str, Any], resumes: bool
) -> Tracker:
    """Return the tracker that the config asks for. With None, it tracks nothing."""
    if config is None or config.wandb == "disabled":
        return Tracker()
    return WandbTracker(folder, config, name=name, settings=settings, resumes=resumes)
