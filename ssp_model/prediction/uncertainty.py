"""Uncertainty: how far several predictions of the same voxel spread, and which error such a spread meant before.

The members of an ensemble are one model's predictions of an image flipped in several ways, the predictions of several
models, or both. Their mean is the prediction. Their standard deviation is the raw spread. It counts only what the
members disagree about, so it is too small. A calibration says which error voxels of such a spread had in images with
targets. What an image unlike all of these adds, nothing here can know.

Shapes: K points of a calibration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ssp_model.config.schema import UncertaintyKind
from ssp_model.errors import InputError
from ssp_model.images.description import Voxels
from ssp_model.log import counted
from ssp_model.prediction.signal_predictor import Advance, SignalPredictor
from ssp_model.prediction.sliding_window import Place, Way, ways_of

if TYPE_CHECKING:
    import pandas as pd

USUAL_FLIPS = "yx"
"""Axes to flip where the windows are not flipped anyway. Along Z, light takes another way, so up is not down."""

FIELDS = ("uncertainty", "flips", "models")
"""What a calibration holds for: an ensemble with the same."""


@dataclass(frozen=True)
class Calibration:
    """The error that a spread of one structure means.

    Attributes
    ----------
    spread, error : ndarray
        Spreads, and the root mean square error of voxels of about this spread, (K,), in standardised intensities. Both
        rise.
    images : int
        Number of images that tell.
    """

    spread: np.ndarray
    error: np.ndarray
    images: int

    def expected(self, spread: np.ndarray) -> np.ndarray:
        """Return the root mean square error to expect, in standardised intensities.

        Between the points it is interpolated. A spread beyond them means an error that is larger in proportion.
        """
        largest = self.spread[-1]
        beyond = np.maximum(spread / largest, 1) if largest > 0 else 1
        return (np.interp(spread, self.spread, self.error) * beyond).astype(np.float32)


class Member(NamedTuple):
    """One of the predictions: by a model, of windows flipped in some ways, of which it is the mean."""

    model: SignalPredictor
    ways: list[Way]


class Ensemble:
    """Several predictions of the same image, whose spread tells how uncertain they are.

    Parameters
    ----------
    models : sequence of SignalPredictor
        One for `flips`; several, such as those of several seeds or methods, for `seeds` and `both`.
    kind : str
        `flips`: a member for each way to flip the windows. `seeds`: a member for each model. `both`: all of these.
    calibrations : mapping, optional
        By structure. The uncertainty of a structure without one is the raw spread.

    Attributes
    ----------
    members : list of Member

    Raises
    ------
    InputError
        The kind needs another number of models, or the models do not predict the same.
    """

    def __init__(
        self,
        models: Sequence[SignalPredictor],
        kind: UncertaintyKind,
        calibrations: Mapping[str, Calibration] | None = None,
    ) -> None:
        _check_models(models, kind)
        of_windows = models[0].windows.flips
        self.models, self.kind, self.calibrations = tuple(models), kind, calibrations or {}
        self.flips = of_windows if kind == "seeds" else of_windows or USUAL_FLIPS
        ways = ways_of(self.flips)
        parts = [ways] if kind == "seeds" else [[way] for way in ways]
        self.members = [Member(model, part) for model in models for part in parts]

    @property
    def identity(self) -> dict[str, str]:
        """What the ensemble is, by `FIELDS`; the order of the models does not matter."""
        checksums = " ".join(sorted(model.sha256 for model in self.models))
        return dict(zip(FIELDS, (self.kind, self.flips, checksums), strict=True))

    def count(self, shape: Sequence[int]) -> int:
        """Return how many windows the networks see of an image, flipped ones included."""
        return sum(member.model.windows.num_places(shape) * len(member.ways) for member in self.members)

    def provenance(self, structures: Sequence[str]) -> dict[str, str]:
        """Return what an output says of its uncertainty."""
        return {
            "predictions": f"mean of {len(self.members)} predictions ({self.kind})",
            "flips": self.flips,
            "models sha256": self.identity["models"],
            **{f"{structure} uncertainty": self._told(structure) for structure in structures},
        }

    def _told(self, structure: str) -> str:
        if structure not in self.calibrations:
            return "raw spread (standard deviation of the predictions), not calibrated"
        of = self.calibrations[structure]
        points = ", ".join(f"{spread:.3g}: {error:.3g}" for spread, error in zip(of.spread, of.error, strict=True))
        return f"expected error by spread, calibrated on {counted(of.images, 'image')}: {points}"

    def predict_signal(
        self,
        signal: Voxels,
        structure: str,
        *,
        mean: Voxels,
        uncertainty: Voxels,
        advance: Advance | None = None,
        memory: int | None = None,
    ) -> None:
        """Predict one structure in an image that is prepared, and how uncertain it is.

        Parameters
        ----------
        signal : array or dataset
            Standardised transmitted light at the model's voxel size, (Z, Y, X).
        structure : str
            One that all models know.
        mean, uncertainty : array or dataset
            Where to write the mean of the members, and the expected error or, without a calibration, the raw spread:
            (Z, Y, X), float32, standardised.
        advance : callable, optional
            Told how many voxels more a member has done.
        memory : int, optional
            As for `predict_volume`.

        Raises
        ------
        InputError
            A model does not know the structure.
        """
        for number, member in enumerate(self.members, start=1):
            strips = member.model.predict_strips(signal, structure, member.ways, memory=memory)
            for place, part in strips:
                _add_member(number, place, part, mean=mean, squares=uncertainty)
                if advance:
                    advance(float(part.size))
        calibration = self.calibrations.get(structure)
        for z in range(signal.shape[0]):
            spread = np.sqrt(uncertainty[z] / (len(self.members) - 1))
            uncertainty[z] = calibration.expected(spread) if calibration else spread


def _add_member(number: int, place: Place, part: np.ndarray, *, mean: Voxels, squares: Voxels) -> None:
    """Add a part of a member to the mean of those before it, and to the sum of squared differences (Welford 1962).

    No more than a plane is in memory at once, as the volumes may lie in a file.
    """
    along_z, *rest = place
    for z, new in zip(range(mean.shape[0])[along_z], part, strict=True):
        plane = (slice(z, z + 1), *rest)
        if number == 1:
            mean[plane], squares[plane] = new[None], np.zeros_like(new[None])
            continue
        before = mean[plane]
        after = before + (new - before) / number
        squares[plane] = squares[plane] + (new - before) * (new - after)
        mean[plane] = after


def _check_models(models: Sequence[SignalPredictor], kind: UncertaintyKind) -> None:
    first, *others = models
    if kind == "flips" and others:
        raise InputError(
            f"The uncertainty is over flips of one model, but {len(models)} are given; use seeds or both, or give one."
        )
    if kind != "flips" and not others:
        raise InputError(
            f"The uncertainty {kind} needs several models, but only {first.path} is given; name the others with "
            "--also, or use flips."
        )
    known = {first.sha256: first.path}
    for other in others:
        if other.sha256 in known:
            raise InputError(
                f"{other.path} is the same model as {known[other.sha256]}, so they never differ; give different models."
            )
        known[other.sha256] = other.path
        if missing := [name for name in first.info.structures if name not in other.info.structures]:
            raise InputError(
                f"{other.path} does not predict {', '.join(missing)}, but {first.path} does; give models of the same "
                "structures."
            )
        if _scale(first) != _scale(other):
            raise InputError(
                f"{other.path} was trained at another voxel size than {first.path}; give models that were trained on "
                "the same images."
            )


def _scale(model: SignalPredictor) -> tuple[object, object]:
    return model.info.voxel_size_um, model.info.preprocess.get("scale")


def make_ensemble(
    models: Sequence[SignalPredictor], kind: UncertaintyKind | None, calibrations: Sequence[str | Path] = ()
) -> Ensemble | None:
    """Return the ensemble of some models, calibrated if there are tables of calibrations; None without a kind.

    Raises
    ------
    InputError
        As for `Ensemble` and `read_calibrations`.
    """
    if kind is None:
        return None
    ensemble = Ensemble(models, kind)
    return Ensemble(models, kind, read_calibrations(calibrations, ensemble)) if calibrations else ensemble


def find_calibrations(folder: str | Path) -> list[Path]:
    """Return the tables of calibrations in a folder.

    Raises
    ------
    InputError
        There is none.
    """
    if not (found := sorted(Path(folder).glob("*.csv"))):
        raise InputError(f"{folder} has no calibration; give a folder of tables that the workflow wrote, calibration/.")
    return found


def read_calibrations(tables: Sequence[str | Path], ensemble: Ensemble) -> dict[str, Calibration]:
    """Read calibrations of an ensemble, by structure.

    Parameters
    ----------
    tables : sequence of path
        As `evaluation.uncertainty.calibrate` writes them.
    ensemble : Ensemble

    Raises
    ------
    InputError
        A file can't be read, or is of another ensemble.
    """
    import pandas as pd

    found: dict[str, Calibration] = {}
    for path in tables:
        try:
            table = pd.read_csv(path, dtype=dict.fromkeys(FIELDS, str), keep_default_na=False)
            known = table[list(FIELDS)].iloc[0].to_dict()
            found |= {str(name): _calibration(of_structure) for name, of_structure in table.groupby("structure")}
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(
                f"{path} can't be read as a calibration ({error}); give a table that the workflow wrote."
            ) from None
        if differ := [name for name in FIELDS if known[name] != ensemble.identity[name]]:
            raise InputError(
                f"{path} is the calibration of other predictions (other {', '.join(differ)}); calibrate these, or "
                "leave the calibration out."
            )
    return found


def _calibration(table: "pd.DataFrame") -> Calibration:
    return Calibration(table.spread.to_numpy(float), table.error.to_numpy(float), int(table.images.iloc[0]))
