"""Damaged files of each format through `ssp predict` and `ssp preflight`: no traceback, no hang, no scraps, no lies.

A damaged file is either refused in a sentence, or its voxels are those of the sound file. Only where single bits of the
voxels themselves are flipped, in a format without checksums, can no reader know.
"""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from pylibCZIrw import czi

from ssp_model.images.ome_tiff import read_ome_tiff

pytestmark = pytest.mark.slow

SSP = Path(sys.executable).parent / "ssp"
VOXELS = np.random.default_rng(0).integers(0, 1000, (2, 8, 32, 32)).astype(np.uint16)
SIZES = {f"PhysicalSize{axis}": 0.3 for axis in "ZYX"}
MEMORY, TIME_S = 4 * 2**30, 60
NUM_FLIPPED = 14


def write_sound(folder: Path) -> dict[str, Path]:
    """Write one sound file of each format."""
    files = {
        name: folder / file
        for name, file in {
            "plain": "plain.ome.tif",
            "deflate": "deflate.ome.tif",
            "imagej": "imagej.tif",
            "czi": "sound.czi",
            "zarr": "sound.ozx",
        }.items()
    }
    options = {"ome": True, "metadata": {"axes": "CZYX", **SIZES}, "photometric": "minisblack"}
    tifffile.imwrite(files["plain"], VOXELS, **options)
    tifffile.imwrite(files["deflate"], VOXELS, compression="zlib", tile=(16, 16), **options)
    metadata = {"axes": "ZCYX", "spacing": 0.3, "unit": "um"}
    tifffile.imwrite(files["imagej"], VOXELS.swapaxes(0, 1), imagej=True, resolution=(1 / 0.3,) * 2, metadata=metadata)
    with czi.create_czi(str(files["czi"]), compression_options="zstd1:ExplicitLevel=1") as file:
        for c, z in np.ndindex(2, 8):
            file.write(VOXELS[c, z][..., None], plane={"C": c, "Z": z, "T": 0})
        file.write_metadata("sound", scale_x=3e-7, scale_y=3e-7, scale_z=3e-7)
    with zarr.storage.ZipStore(files["zarr"], mode="w") as store:
        group = zarr.create_group(store, attributes={"ome": ome_zarr_metadata()})
        group.create_array("0", shape=VOXELS.shape, dtype=VOXELS.dtype, chunks=(1, 1, 32, 32))[:] = VOXELS
    return files


def ome_zarr_metadata() -> dict:
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "zyx")]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.3, 0.3, 0.3]}]}]
    return {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def damaged(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield about forty damaged variants of a file, each with a word for the damage."""
    rng = np.random.default_rng(len(content))
    yield "empty", b""
    for share in np.linspace(0.02, 0.98, 10):
        yield "cut", content[: int(share * len(content))]
    for place in ("header", "body"):
        for _ in range(NUM_FLIPPED):
            spoiled = bytearray(content)
            most = min(2048, len(content)) if place == "header" else len(content)
            for position in rng.integers(0, most, 3):
                spoiled[position] ^= 1 << int(rng.integers(8))
            yield f"flipped-{place}", bytes(spoiled)
    for old, new in ((b'SizeZ="8"', b'SizeZ="9"'), (b'SizeX="32"', b'SizeX="99"'), (b"slices=8", b"slices=9")):
        if old in content:
            yield "claims", content.replace(old, new)
    # sizes of billions, in the tags of TIFF or wherever the number stands in another format
    for number, size in enumerate((2**31 - 1, 65_536)):
        yield f"huge-{number}", content.replace((32).to_bytes(4, "little"), size.to_bytes(4, "little"), 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Damaged files by the name of the damage, each under its own name."""
    folder = tmp_path_factory.mktemp("fuzz")
    variants = {}
    for name, path in write_sound(folder).items():
        for number, (damage, content) in enumerate(damaged(name, path.read_bytes())):
            # every third has a wrong name: the content decides
            suffix = ".tif" if number % 3 == 0 else "".join(path.suffixes)
            variant = folder / "damaged" / f"{name}_{number:02d}_{damage}{suffix}"
            variant.parent.mkdir(exist_ok=True)
            variant.write_bytes(content)
            variants[variant.name] = variant
    assert len(variants) >= 200
    return variants


def limited(*arguments: str | Path) -> subprocess.CompletedProcess:
    """Run `ssp` with little memory and time."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return subprocess.run(
        [SSP, *arguments], capture_output=True, text=True, check=False, timeout=TIME_S, preexec_fn=limit
    )


def test_predict(files, model, tmp_path):
    paths = list(files.values())
    called_good = {}
    for start in range(0, len(paths), 70):
        out = tmp_path / f"out{start}"
        # a copy, so that nothing can be written onto an input unseen
        some = [Path(shutil.copy(path, tmp_path)) for path in paths[start : start + 70]]
        before = {path: path.read_bytes() for path in some}
        ran = limited("predict", model, *some, "--output", out, "--channel", "0", "--threads", "1")
        said = ran.stdout + ran.stderr
        assert ran.returncode in (0, 1), f"{some}\n{said}"
        assert "Traceback" not in said
        assert "error of this program" not in said
        assert {path: path.read_bytes() for path in some} == before
        assert not [path for path in out.rglob("*") if path.name.startswith(".")], "scraps"
        for path in some:
            outputs = list(out.glob(f"{path.name.split('.')[0]}.*"))
            assert outputs or path.name in said, f"{path.name} is neither predicted nor told of: {said}"
            if outputs:
                called_good[path.name] = outputs[0]
    signal = (VOXELS[0] - VOXELS[0].mean()) / VOXELS[0].std()
    for name, output in called_good.items():
        if "flipped" not in name:
            np.testing.assert_allclose(read_ome_tiff(output).channels[0], signal, atol=1e-4, err_msg=name)
    print(f"{len(files)} damaged files, {len(called_good)} predicted")


def test_preflight(files, tmp_path):
    rows = [{"image": path, "structure": "tom20", "signal": 0, "target": 1} for path in files.values()]
    pd.DataFrame(rows).to_csv(tmp_path / "samples.csv", index=False)
    config = tmp_path / "config.yaml"
    config.write_text("structures: null\ndna: null\ncollection: {samples: samples.csv}\n")
    project = Path(__file__).parents[2]
    both = ["--config", project / "config.yaml", "--config", config]
    ran = limited(
        "preflight", tmp_path / "samples.csv", *both, "--pixels", "--output", tmp_path / "out", "--workers", "1"
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stdout + ran.stderr
    problems = pd.read_csv(tmp_path / "out/problems.csv")
    told = {Path(image).name for image in problems[problems.severity == "error"].image.dropna()}
    for name in files:
        if "empty" in name or ("_cut" in name and name.split("_")[0] in ("plain", "deflate", "imagej")):
            assert name in told, name
