"""Time and memory of converting one image, against reading every channel and resizing by scipy in float64.

python benchmarks/convert.py                    # a simulated stack of 50x624x924, seven channels, as in the collection
python benchmarks/convert.py --shape 32 256 256
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
from bioio import BioImage
from scipy import ndimage
from tables import show

from ssp_model.data.convert import convert_image
from ssp_model.data.preprocess import Resizing
from ssp_model.data.volumes import ImageJob
from ssp_model.hardware import process_peak_memory_mb
from ssp_model.simulation.simulate import SimulationConfig, simulate_image, write_czi

SCALE = (1, 0.37241, 0.37241)
CHANNELS = {"signal": 6, "tom20": 3, "dna": 5}


def ours(path: Path) -> None:
    """As the workflow does: three channels."""
    convert_image(path, ImageJob(0, path.name, channels=CHANNELS), Resizing(scale=SCALE))


def straightforward(path: Path) -> None:
    """All channels read, the three wanted normalised and resized by scipy in float64."""
    stack = BioImage(path).get_image_data("CZYX", T=0)
    for channel in CHANNELS.values():
        raw = stack[channel].astype(np.float64)
        ndimage.zoom((raw - raw.mean()) / raw.std(), SCALE, mode="nearest").astype(np.float32)


def simulate(path: Path, shape: tuple[int, int, int]) -> None:
    """One image as in the collection; in a process of its own, whose memory the others do not inherit."""
    config = SimulationConfig(structures=("tom20",), images=1, shape_zyx=shape)
    write_czi(path, simulate_image("tom20", 0, config), "tom20", config)


def measure(way: str, path: Path, answer: Connection) -> None:
    """Seconds of the second of two runs, and the peak memory, of a process of its own."""
    run = {"ours": ours, "straightforward": straightforward}[way]
    run(path)
    started = time.perf_counter()
    run(path)
    answer.send((time.perf_counter() - started, process_peak_memory_mb()))


def main() -> None:
    """Print both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=[50, 624, 924])
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    seconds, rows = {}, []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.czi"
        process = spawn.Process(target=simulate, args=(path, tuple(arguments.shape)))
        process.start()
        process.join()
        for way in ("straightforward", "ours"):
            heard, told = spawn.Pipe(duplex=False)
            process = spawn.Process(target=measure, args=(way, path, told))
            process.start()
            seconds[way], memory_mb = heard.recv()
            process.join()
            times_faster = seconds["straightforward"] / seconds[way]
            rows.append({"way": way, "s": seconds[way], "times faster": times_faster, "peak MiB": memory_mb})
    size = "x".join(map(str, arguments.shape))
    show("convert", f"one image of {size}, seven channels, {os.cpu_count()} cores", pd.DataFrame(rows))


if __name__ == "__main__":
    main()
