"""The page of the data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ssp_model.data.dataset import Dataset, in_um
from ssp_model.figures.images import plot_inputs
from ssp_model.figures.scores import plot_intensities
from ssp_model.report.html import figure, heading, size_text, table, text, write_page
from ssp_model.report.overview import left_out_table


def data_page(
    splits: Mapping[str, Mapping[str, str | Path]],
    datasets: Sequence[str | Path],
    left_out: Sequence[str | Path],
    page: str | Path,
) -> None:
    """Images in each split, their intensities and voxel sizes, and what they look like.

    Parameters
    ----------
    splits : mapping
        For each structure the paths of its `train`, `val` and `test` lists.
    datasets : sequence of path
        The datasets, that of training first.
    left_out : sequence of path
        The structures' lists of images that can't be used.
    page : path
        HTML file to write; figures go to a folder beside it, named alike.
    """
    folder = Path(page).with_suffix("")
    counts = pd.DataFrame(
        [{"structure": name, **{split: len(pd.read_csv(p)) for split, p in of.items()}} for name, of in splits.items()]
    )
    counts["all"] = counts[["train", "val", "test"]].sum(axis=1)
    counts.loc[len(counts)] = ["all structures", *counts.drop(columns="structure").sum()]
    indices = []
    for number, path in enumerate(datasets):
        with Dataset(path) as dataset:
            indices.append(dataset.index)
            if number == 0:
                firsts = dataset.index.sort_values("task", kind="stable").drop_duplicates("task").index
                pairs = {dataset.index.task[i]: (dataset.signal(i), dataset.target(i)) for i in firsts}
                voxel = dataset.voxel_size_um
                sizes = sorted({signal.shape for signal, _ in pairs.values()})
                plot_inputs(pairs, voxel, folder / "images.png")
    plot_intensities(pd.concat(indices), folder / "intensities.png")
    write_page(
        page,
        "Data",
        "Each image shows transmitted light and one structure, in 3D. No image is in two splits.",
        [
            heading("Images in each split"),
            table(counts, total=1, sortable=True),
            heading("Images left out"),
            *left_out_table(left_out),
            heading("What the images look like"),
            text(
                f"Voxels at training resolution: {in_um(voxel) if voxel else 'of unknown size'}; sizes of those below "
                f"(Z, Y, X): {', '.join(size_text(size) for size in sizes)} voxels."
            ),
            figure(
                folder / "images.png",
                "A training image of each structure: transmitted light, the input, above the fluorescence that is to "
                "be predicted, in the plane where the structure has most contrast. Each panel has its own contrast.",
                "Transmitted light and fluorescence of each structure",
            ),
            heading("Raw intensities"),
            figure(
                folder / "intensities.svg",
                "Mean and standard deviation of each raw image, in counts of the camera. Each image is standardised by "
                "them before training, so differences in exposure between images are removed, and with them "
                "differences in the amount of a structure.",
                "Raw intensities by structure",
            ),
        ],
    )
