"""The page of the data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ssp_model.data.dataset import Dataset, in_um, shared_groups
from ssp_model.evaluation.noise import highest_r2, likeness_in_planes
from ssp_model.figures.images import focus, plot_inputs
from ssp_model.figures.scores import plot_intensities
from ssp_model.figures.style import save
from ssp_model.images.description import own_name
from ssp_model.report.html import Table, size_text, write_page
from ssp_model.report.overview import left_out_table

MEASURED = 5
"""Images of a structure in a split whose noise is estimated: reading all of a large collection takes long."""

NEARLY_ALL = 0.9
"""Share of noise from which on there is next to nothing to learn from a target."""

UNLIKE = 0.1
"""Correlation of neighbours in a plane below which it is noise that makes planes differ, not their distance."""


def data_page(
    splits: Mapping[str, Mapping[str, str | Path]],
    datasets: Sequence[str | Path],
    left_out: Sequence[str | Path],
    page: str | Path,
) -> None:
    """Write the page of the data: number of images, what they look like, their noise, intensities and voxel sizes.

    Parameters
    ----------
    splits : mapping
        For each structure the paths of its `train`, `val` and `test` lists.
    datasets : sequence of path
        The datasets of training, validation and test.
    left_out : sequence of path
        Each structure's list of images that can't be used.
    page : path
        HTML file to write. Its figures go to a folder beside it, with the same name.
    """
    folder = Path(page).with_suffix("")
    indices = []
    for path in datasets:
        with Dataset(path) as dataset:
            indices.append(dataset.index)
    with Dataset(datasets[0]) as dataset:
        planes, sizes = first_planes(dataset)
        voxel_size_um = dataset.voxel_size_um
    noise = pd.concat([noise_of_targets(path) for path in datasets])
    noisy = nearly_all_noise(noise.groupby("structure")[["noise", "likeness"]].mean())
    others = noise[~noise.structure.isin(noisy)]
    save(plot_inputs(planes, voxel_size_um), folder / "images.png")
    save(plot_intensities(pd.concat(indices)), folder / "intensities.png")
    write_page(
        page,
        "data.html.j2",
        counts=count_images(splits),
        channels=channels_used(pd.concat(indices)),
        shared_groups=shared_groups(*(index.get("group", ()) for index in (indices[0], indices[-1]))),
        left_out=left_out_table(left_out),
        noise=noise_table(noise),
        noisy_structures=noisy,
        noisy_images=nearly_all_noise(others.set_index("image")),
        voxel_size=in_um(voxel_size_um) if voxel_size_um else None,
        sizes=", ".join(map(size_text, sizes)),
        images=folder / "images.png",
        intensities=folder / "intensities.svg",
    )


def count_images(splits: Mapping[str, Mapping[str, str | Path]]) -> Table:
    """Count the samples of each structure in each split."""
    counts = pd.DataFrame(
        [{"structure": name, **{split: len(pd.read_csv(p)) for split, p in of.items()}} for name, of in splits.items()]
    )
    counts["all"] = counts[["train", "val", "test"]].sum(axis=1)
    counts.loc[len(counts)] = ["all structures", *counts.drop(columns="structure").sum()]
    heads = {"train": "training", "val": "validation"}
    return Table(counts.rename(columns=heads), num_totals=1)


def channels_used(index: pd.DataFrame) -> Table:
    """Count the samples of each structure by the channels that were its signal and its target; name one of each."""
    named = pd.DataFrame(
        {
            "structure": index.task,
            **{
                role: [
                    f"{channel} {own_name(channel, name)}".rstrip()
                    for channel, name in zip(index[f"{role}_channel"], index[f"{role}_channel_name"], strict=True)
                ]
                for role in ("signal", "target")
            },
        }
    )
    images = index.image.groupby([named[name] for name in named]).agg(["size", "first"])
    return Table(images.rename(columns={"size": "samples", "first": "such as"}).reset_index())


def first_planes(
    dataset: Dataset,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[tuple[int, ...]]]:
    """Read a plane of the first image of each structure.

    Returns
    -------
    tuple
        For each structure a plane of the signal and of the target, (Y, X) each; and the images' sizes (Z, Y, X).
    """
    planes, sizes = {}, set()
    firsts = dataset.index.sort_values("task", kind="stable").drop_duplicates("task").index
    for sample in firsts:
        target = dataset.target(sample)[()]
        z, _, _ = focus(target)
        planes[dataset.index.task[sample]] = (dataset.signal(sample)[z], target[z])
        sizes.add(target.shape)
    return planes, sorted(sizes)


def noise_of_targets(path: str | Path) -> pd.DataFrame:
    """Estimate which share of a target's variance is noise, for some images of each structure of a dataset.

    Returns
    -------
    DataFrame
        One row an image: `structure`, `image`, `noise` from 0 to 1, and `likeness`, the correlation of neighbours in
        a plane; NaN where they are not known.
    """
    rows = []
    with Dataset(path) as dataset:
        for structure, samples in dataset.index.groupby("task"):
            for sample in samples.index[np.linspace(0, len(samples) - 1, min(MEASURED, len(samples))).astype(int)]:
                target = dataset.target(sample)[()]
                found = {
                    "noise": 1 - highest_r2(target, dataset.scale_z(sample)),
                    "likeness": likeness_in_planes(target),
                }
                rows.append({"structure": structure, "image": f"{samples.image[sample]} ({structure})", **found})
    return pd.DataFrame(rows)


def noise_table(noise: pd.DataFrame) -> Table:
    """List each structure's noise, and the highest R2 that it allows."""
    of = noise.groupby("structure").noise
    shares = {"noise, mean": of.mean(), "noise, least": of.min(), "noise, most": of.max()}
    frame = pd.DataFrame({"images measured": of.size(), **shares, "highest possible R²": 1 - of.mean()}).reset_index()
    texts = {name: ["not known" if pd.isna(value) else f"{value:.0%}" for value in frame[name]] for name in shares}
    texts["highest possible R²"] = ["not known" if pd.isna(v) else f"{v:.2f}" for v in frame["highest possible R²"]]
    return Table(frame, texts)


def nearly_all_noise(noise: pd.DataFrame) -> list[str]:
    """Name the structures or images whose targets are nearly all noise, both along Z and in their planes."""
    return [str(name) for name in noise.index[(noise.noise >= NEARLY_ALL) & (noise.likeness < UNLIKE)]]
