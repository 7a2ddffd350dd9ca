"""Where predictions are written: names, and what must never be overwritten."""

import json
import os
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from ssp_model.errors import InputError
from ssp_model.files import short_name
from ssp_model.images.find import SUFFIXES, is_zarr
from ssp_model.images.ome_output import PROJECT_KEY
from ssp_model.images.ome_tiff import PROVENANCE
from ssp_model.prediction.likeness import DISTANCE, WARNING

OutputFormat = Literal["ome-tiff", "ome-zarr"]
SUFFIX: dict[OutputFormat, str] = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr"}

FREE_TO_DIFFER = {"version", "precision", "device", DISTANCE, WARNING}
"""Entries of the provenance that do not make an output another one."""


def prepare_folder(folder: str | Path, inputs: Iterable[Path]) -> Path:
    """Make the folder for predictions.

    Raises
    ------
    InputError
        It is no folder, can't be written to, or is itself an image.
    """
    if not str(folder).strip():
        raise InputError("The name of the output folder is empty; give a folder for the predictions.")
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise InputError(
            f"{path} is not a folder; give a folder for the predictions, which are named after the images."
        )
    if not path.exists() and path.name.lower().endswith((*SUFFIXES, ".png", ".zip", ".h5")):
        raise InputError(
            f"{path} looks like a file's name; give a folder for the predictions, which are named after the images."
        )
    if path.exists() and (is_zarr(path) or _identity(path) in map(_identity, inputs)):
        raise InputError(f"{path} is the folder of an image; give another folder for the predictions.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} can't be made ({error.strerror}); give another folder for the predictions.") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"{path} can't be written to; change its permissions, or give another folder.")
    return path


def stems(paths: Sequence[Path]) -> dict[Path, str]:
    """Return what the outputs of images are called: the image's name without its endings.

    Images of the same name in several folders also take the names of their folders, as many as tell them apart.

    Raises
    ------
    InputError
        Two images in one folder differ by their endings only.
    """
    named = {path: [*path.parent.resolve().parts[1:], _stem(path.name)] for path in paths}
    names: dict[Path, str] = {}
    for depth in range(1, 1 + max(map(len, named.values()), default=0)):
        waiting = [path for path in named if path not in names]
        tried = {path: "_".join(named[path][-depth:]) for path in waiting}
        counts: dict[str, int] = {}
        for name in (*tried.values(), *names.values()):
            counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
        names |= {path: name for path, name in tried.items() if counts[name.casefold()] == 1}
    if rest := [path for path in named if path not in names]:
        listed = " and ".join(str(path) for path in rest[:2])
        raise InputError(f"The predictions of {listed} would have one name; predict them into two folders.")
    return {path: short_name(name) for path, name in names.items()}


def _stem(name: str) -> str:
    return (
        re.sub(r"(\.ome)?\.(tiff?|zarr|zarr\.zip|btf|tf2|tf8|czi|lsm|nd2|lif|ozx|zip)$", "", name, flags=re.I) or name
    )


def scene_parts(names: Sequence[str]) -> list[str]:
    """Return what the scenes of a file add to the names of their outputs: nothing if there is only one."""
    if len(names) == 1:
        return [""]
    plain = [re.sub(r"[^\w.-]+", "-", name).strip("-.") for name in names]
    if "" in plain or len({name.casefold() for name in plain}) < len(plain):
        plain = [str(number) for number in range(len(names))]
    return [f"_{name}" for name in plain]


class Guard:
    """Keep outputs from replacing what must stay: images, the model, files of other programs.

    Parameters
    ----------
    images : iterable of path
    model : path
    """

    def __init__(self, images: Iterable[Path], model: Path) -> None:
        self._kept = {_identity(path): "an image to predict" for path in images} | {_identity(model): "the model"}

    def check(self, output: Path) -> None:
        """Refuse an output that would replace one of these, also through a link.

        Raises
        ------
        InputError
            With what it would replace.
        """
        if not os.path.lexists(output):
            return
        if what := self._kept.get(_identity(output)):
            raise InputError(
                f"The prediction would replace {output}, which is {what}; give another folder for the predictions."
            )
        if read_provenance(output) is None:
            raise InputError(
                f"{output} exists and was not written by ssp predict, so it is not replaced; remove it yourself, or "
                "give another folder."
            )


def _identity(path: Path) -> tuple[int, int] | Path:
    """Return what all names of a file have in common."""
    try:
        found = path.stat()
    except OSError:
        return path.absolute()
    return found.st_dev, found.st_ino


def differences(output: Path, provenance: dict[str, str]) -> list[str]:
    """Return in which entries of the provenance an older output of this program differs from one to be written."""
    older = read_provenance(output) or {}
    keys = [key for key in {**provenance, **older} if key not in FREE_TO_DIFFER]
    return [key for key in keys if older.get(key) != provenance.get(key)]


def read_provenance(path: Path) -> dict[str, str] | None:
    """Return what an output of this program says of its making; None if it is none."""
    try:
        if path.is_dir():
            attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
            return dict(attributes[PROJECT_KEY]["provenance"])
        return _tiff_provenance(path) if path.is_file() else None
    # whatever a stranger's file holds
    except Exception:
        return None


def _tiff_provenance(path: Path) -> dict[str, str] | None:
    import tifffile

    with tifffile.TiffFile(path) as file:
        root = ElementTree.fromstring(file.pages[0].description)  # type: ignore[union-attr]
    found = root.find(f"{{*}}StructuredAnnotations/{{*}}MapAnnotation[@Namespace='{PROVENANCE}']/{{*}}Value")
    return None if found is None else {str(pair.get("K")): pair.text or "" for pair in found}


def publish(written: Path, output: Path) -> None:
    """Move a finished prediction to its place; an older one is removed."""
    if output.is_dir() and not output.is_symlink():
        shutil.rmtree(output)
    written.replace(output)
