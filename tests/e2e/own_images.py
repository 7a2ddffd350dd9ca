"""A lab's own images: files in three formats, with scenes, time points and groups, and the table of their samples."""

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import zarr
from pylibCZIrw import czi

STRUCTURES = ("dots", "golgi", "nuclei")
SIZES_UM = (0.3, 0.11, 0.11)
CONFIG = {
    "experiment": "own",
    "structures": None,
    "collection": {"samples": "images/samples.csv"},
    "dna": None,
    "split": {"train_fraction": 0.7, "fit_fraction": 0.6},
    "preprocess": {"scale": None, "voxel_size_um": [0.3, 0.22, 0.22]},
    "model": {"width": 1},
    "train": {"patch": [16, 32, 32], "epochs": 1, "validate_every": 1},
    "predict": {"overlap": 0},
}


def voxels(seed: int) -> np.ndarray:
    """Voxels of two time points, the signal and three targets, (time, channel, Z, Y, X)."""
    rng = np.random.default_rng(seed)
    return rng.integers(100, 4000, (2, 4, 16, 64, 64)).astype(np.uint16)


def write_czi(path: Path, image: np.ndarray) -> None:
    with czi.create_czi(str(path)) as file:
        for scene, offset in enumerate((0, 200)):
            for c, channel in enumerate(image[scene]):
                for z, plane in enumerate(channel):
                    file.write(plane[..., None], plane={"C": c, "Z": z, "T": 0}, location=(offset, 0), scene=scene)
        names = dict(enumerate(("light", *STRUCTURES)))
        sizes = {f"scale_{axis}": um * 1e-6 for axis, um in zip("zyx", SIZES_UM, strict=True)}
        file.write_metadata("own", channel_names=names, **sizes)


def write_tiff(path: Path, image: np.ndarray) -> None:
    sizes = {f"PhysicalSize{axis}": um * 1000 for axis, um in zip("ZYX", SIZES_UM, strict=True)}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    names = {"Channel": {"Name": ["light", *STRUCTURES]}}
    metadata = {"axes": "TCZYX", **names, **sizes, **units}
    tifffile.imwrite(path, image, ome=True, metadata=metadata, photometric="minisblack", compression="zlib")


def write_zarr(path: Path, image: np.ndarray) -> None:
    group = zarr.open_group(path, mode="w")
    group.create_array("0", shape=image.shape[1:], dtype=image.dtype, chunks=(1, 4, 64, 64))[:] = image[0]
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "zyx")]
    scale = [{"type": "scale", "scale": [1, *SIZES_UM]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    channels = [{"label": name} for name in ("light", *STRUCTURES)]
    image_metadata = {"multiscales": [{"axes": axes, "datasets": datasets}], "omero": {"channels": channels}}
    group.attrs["ome"] = {"version": "0.5", **image_metadata}


def make_own_images(folder: Path) -> None:
    """Six plates (groups) of images in three formats, and the table of their samples."""
    folder.mkdir(parents=True)
    rows = []
    for plate in range(6):
        for number, (suffix, write) in enumerate(
            {".czi": write_czi, ".ome.tif": write_tiff, ".ome.zarr": write_zarr}.items()
        ):
            name = f"plate{plate}_{number}{suffix}"
            write(folder / name, voxels(10 * plate + number))
            # each image has a target of two structures
            for channel in (1 + plate % 3, 1 + (plate + 1) % 3):
                row = {"Image": name, "Structure": STRUCTURES[channel - 1], "signal": "light"}
                row |= {"target": channel, "scene": plate % 2 if suffix == ".czi" else ""}
                row |= {"time": 1 if suffix == ".ome.tif" else "", "group": f"plate {plate}"}
                rows.append(row)
    # as a spreadsheet writes it
    pd.DataFrame(rows).to_csv(folder / "samples.csv", index=False, sep=";", encoding="utf-16")
