"""What several tests use that is no fixture."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
import yaml
from torch import nn

from ssp_model.config.schema import ModelConfig, PredictConfig, RepModeConfig, TrackingConfig, TrainConfig
from ssp_model.data.integrate import integrate
from ssp_model.data.splits import SPLITS
from ssp_model.images.description import UNKNOWN, PixelSize, SceneInfo, Sizes
from ssp_model.images.reader import Image, ImageFile
from ssp_model.models.model_file import make_network
from ssp_model.nn.method import Method
from ssp_model.training.distributed import Placement
from ssp_model.training.recipe import Recipe
from ssp_model.training.train import TrainFiles, train_model
from tests.fast_snakemake import run_snakemake

PROJECT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
SNAKEMAKE = Path(sys.executable).parent / "snakemake"
WINDOWS = PredictConfig(patch=None, overlap=0.0, flips="")
OVERLAPPING = PredictConfig(patch=None, overlap=0.5, flips="")
UNTRACKED = TrackingConfig(wandb="disabled", project="test")


def make_datasets(
    folder: Path, train_rows: dict[str, tuple[int, ...]], shape: tuple[int, int, int] = (16, 20, 18)
) -> dict[str, Path]:
    """Two structures whose targets are simple functions of the signal."""
    rng = np.random.default_rng(0)
    splits = {task: {split: folder / f"{task}-{split}.csv" for split in SPLITS} for task in ("tom20", "zo1")}
    volumes = {task: folder / f"{task}-volumes.h5" for task in splits}
    for task, path in volumes.items():
        held_out = max(len(train_rows[task]), 3)
        with h5py.File(path, "w") as file:
            for row in range(held_out + 3):
                group = file.create_group(f"{row:04d}")
                group.attrs.update(image=f"data/{task}/{row}.czi", source_bytes=9, source_sha256=f"{task}{row}")
                group.attrs.update(pixel_size_um=[0.3] * 3, voxel_size_um=[0.3] * 3)
                signal = rng.normal(size=shape).astype(np.float32)
                for role, voxels in {"signal": signal, task: signal if task == "tom20" else -signal}.items():
                    dataset = group.create_dataset(role, data=voxels)
                    dataset.attrs.update(channel=0, channel_name=role, mean=0.0, std=1.0)
        others = {"val": (held_out,), "test": (held_out + 1, held_out + 2)}
        for split, rows in {"train": train_rows[task], **others}.items():
            paths = [f"data/{task}/{row}.czi" for row in rows]
            pd.DataFrame({"image": paths, "signal": 0, "target": 1}).to_csv(splits[task][split], index=False)
    files = {split: folder / f"{split}.h5" for split in SPLITS}
    integrate(splits, volumes, files, {"preprocess": {"scale": [1, 1, 1]}})
    return files


class StoredFormat:
    """A microscope file of one image that is in memory, (channel, Z, Y, X)."""

    name = "memory"

    def __init__(self, voxels: np.ndarray, pixel_size_um: Sizes = UNKNOWN, recorded: np.ndarray | None = None) -> None:
        names = tuple(f"channel {i}" for i in range(len(voxels)))
        sizes = PixelSize(pixel_size_um, "test")
        self.scenes = [SceneInfo("", 1, names, voxels.shape[1:], voxels.dtype, sizes)]
        self._voxels, self._recorded = voxels, recorded

    def plane(self, scene: int, time: int, channel: int, z: int) -> np.ndarray:
        return self._voxels[channel, z]

    def missing(self, scene: int, time: int, channel: int) -> list[int]:
        return []

    def covered(self, scene: int, time: int, channel: int) -> np.ndarray | None:
        return self._recorded

    def close(self) -> None:
        pass


def image_of(raw: np.ndarray, pixel_size_um: Sizes = UNKNOWN, recorded: np.ndarray | None = None) -> Image:
    """An image `a.czi` of one channel, (Z, Y, X), that is in memory."""
    return ImageFile(Path("a.czi"), "a.czi", StoredFormat(raw[None], pixel_size_um, recorded)).image()


def train_files(datasets: dict[str, Path], folder: Path) -> TrainFiles:
    """Where a training of tiny datasets reads and writes."""
    return TrainFiles(
        train=datasets["train"],
        val=datasets["val"],
        model=folder / "model.safetensors",
        history=folder / "history.csv",
        events=folder / "events.jsonl",
        checkpoint=folder / "checkpoint",
        tracking=folder / "wandb",
    )


def train(
    files: TrainFiles,
    config: TrainConfig,
    *,
    model: ModelConfig = RepModeConfig(method="repmode", width=1),  # noqa: B008 immutable
    seed: int = 0,
    tracking: TrackingConfig = UNTRACKED,
    placement: Placement = Placement(),  # noqa: B008 immutable
    structures: tuple[str, ...] | None = None,
    extends: Path | None = None,
) -> None:
    """Train in this process."""
    parts = {"structures": structures, "extends": extends}
    recipe = Recipe(model=model, train=config, predict=WINDOWS, experiment="test", seed=seed, **parts)
    train_model(files, recipe, tracking=tracking, placement=placement)


def tiny(archives: str, lists: str) -> dict:
    """A configuration that trains for a moment."""
    return {
        "experiment": "tiny",
        "structures": ["fibrillarin", "tom20"],
        "collection": {"archives": archives, "lists": lists},
        "dna": {"quota": {"train": 2, "val": 1, "test": 2}},
        "split": {"fit_fraction": 0.75},
        "model": {"width": 2},
        "train": {"patch": [16, 32, 32], "epochs": 2, "validate_every": 2},
    }


def command(folder: Path, config: dict, *arguments: str, project: Path = PROJECT) -> list[str | Path]:
    """Snakemake in a folder, with a configuration; `project` may be a copy with a Python of its own."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    cores = [] if "--cores" in arguments else ["--cores", "2"]
    own = project / ".venv/bin/python"
    start = [own, "-m", "snakemake"] if project != PROJECT and own.exists() else [SNAKEMAKE]
    place = ["--snakefile", project / "Snakefile", "--directory", folder, "--configfile", folder / "config.yaml"]
    return [*start, *arguments, *cores, *place]


def snakemake(folder: Path, config: dict, *arguments: str, project: Path = PROJECT) -> subprocess.CompletedProcess:
    """What it did; `said` is all that it printed."""
    words = command(folder, config, *arguments, project=project)
    if words[0] == SNAKEMAKE:
        return run_snakemake(folder, *words[1:])
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    ran.said = ran.stdout + ran.stderr
    return ran


def copy_project(folder: Path) -> Path:
    """A copy of what runs, as a clone is."""
    for name in ("rules", "ssp_model", "workflow", "profiles", "envs"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copyfile(PROJECT / name, folder / name)
    return folder


def random_network(method: str, num_tasks: int, seed: int, **own: object) -> Method:
    """Return a network with random weights and, as after training, random statistics in its batch norms."""
    torch.manual_seed(seed)
    network = make_network(method, num_tasks, own)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.3, 3)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, std=0.3)
    return network.eval()
