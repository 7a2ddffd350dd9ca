"""The report's pages: what was run, the data, the training, the scores, pictures of predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ssp_model.data.dataset import Dataset, in_um
from ssp_model.evaluation.metrics import METRICS, label
from ssp_model.evaluation.scores import read_scores, with_interval
from ssp_model.figures.images import plot_composite, plot_inputs, plot_prediction
from ssp_model.figures.scores import plot_intensities, plot_scores
from ssp_model.figures.training import plot_gates, plot_history, plot_speed
from ssp_model.log import duration
from ssp_model.pages import figure, heading, table, text, write_page
from ssp_model.published import beside_published
from ssp_model.viewer import write_viewer

STANDARDISED = (
    "Intensities are standardised (each raw image has mean 0 and standard deviation 1): a prediction shows where a "
    "structure is and how bright it is relative to the rest of its image, not how many counts or molecules there are."
)


def overview_page(
    config: Mapping[str, Any],
    overall: Mapping[str, str | Path],
    left_out: Sequence[str | Path],
    benchmarks: str | Path,
    page: str | Path,
) -> None:
    """What was run, on what, how long it took, and what was left out.

    Parameters
    ----------
    config : mapping
        The checked configuration.
    overall : mapping
        By seed, the overall scores as `scores.summarise` writes them.
    left_out : sequence of path
        The structures' lists of images that can't be used; empty if no image was converted.
    benchmarks : path
        Folder of the jobs' benchmark files.
    page : path
        HTML file to write.
    """
    structures = sorted([*config["structures"], *([config["dna"]["name"]] if config["dna"] else [])])
    train = config["train"]
    evaluated = config["evaluate"]
    own_model = evaluated["model"] is None
    facts = {
        "experiment": config["experiment"],
        "structures": f"{len(structures)}: {', '.join(structures)}",
        "images from": evaluated["test_set"] or config["collection"]["archives"],
        "model": evaluated["model"] or f"RepMode of width {config['model']['width']}",
        "training": f"{train['epochs']} epochs, patch {_size(train['patch'])}, batches of {train['batch_size']}, "
        f"learning rate {train['learning_rate']:g} ({train['schedule']})"
        if own_model
        else "none: the model comes from elsewhere",
        "prediction": f"windows overlapping by {config['predict']['overlap']:.0%}",
        "seeds": ", ".join(map(str, config["seeds"])),
    }
    scores = pd.concat([pd.read_csv(path).assign(seed=int(seed)) for seed, path in overall.items()])
    of_images = scores[scores.mean_over == "images"]
    shown = pd.DataFrame({"seed": of_images.seed, "test images": of_images.images})
    for metric in METRICS:
        shown[label(metric)] = [with_interval(row, metric) for _, row in of_images.iterrows()]
    parts = [
        table(pd.DataFrame({"what": facts.keys(), "this run": facts.values()})),
        heading("Result"),
        table(shown),
        text(
            "Means over the test images"
            + (
                ", which took no part in training or in choosing the model"
                if own_model and not evaluated["test_set"]
                else ""
            )
            + ", with 95% intervals (bootstrap over images). "
            + STANDARDISED
        ),
    ]
    if len(shown) > 1:
        spread = ", ".join(
            f"{label(metric)} {of_images[metric].mean():.4f} ± {of_images[metric].std():.4f}" for metric in METRICS
        )
        parts.append(text(f"Over {len(shown)} seeds, mean ± standard deviation: {spread}."))
    if left_out:
        parts += [heading("Images left out"), *left_out_table(left_out)]
    parts += [heading("How long it took"), *times(benchmarks, config["experiment"])]
    write_page(page, f"Overview of {config['experiment']}", "What was run, on what, and what came of it.", parts)


def times(benchmarks: str | Path, experiment: str) -> list[Markup]:
    """A table of the stages' time and memory, from Snakemake's benchmark files; other experiments' left out."""
    rows = []
    for path in sorted(Path(benchmarks).rglob("*.tsv")):
        measured = pd.read_csv(path, sep="\t").iloc[-1]
        stage, *of = path.relative_to(benchmarks).parts
        if len(of) > 1 and of[0] != experiment:
            continue
        stage = stage.removesuffix(".tsv")
        rows.append({"stage": stage, "seconds": measured["s"], "memory": pd.to_numeric(measured.max_rss, "coerce")})
    if not rows:
        return [text("Not measured.")]
    stages = (
        pd.DataFrame(rows)
        .groupby("stage", as_index=False)
        .agg(jobs=("seconds", "size"), seconds=("seconds", "sum"), memory=("memory", "max"))
    )
    stages = stages.sort_values("seconds", ascending=False)
    named = {"seconds": "time, all jobs", "memory": "most memory of a job, MiB"}
    formats = {named["seconds"]: lambda s: duration(float(s)), named["memory"]: lambda m: f"{m:,.0f}"}
    caption = (
        "Each job's own time, added up: jobs that ran beside each other took less by the clock. Of a job that was "
        "stopped and went on, the last part only."
    )
    return [table(stages.rename(columns=named), formats, sortable=True), text(caption)]


def left_out_table(left_out: Sequence[str | Path]) -> list[Markup]:
    """The images that can't be used, with the reasons."""
    unusable = pd.concat([pd.read_csv(path) for path in left_out])
    if unusable.empty:
        return [text("None: every listed image could be used.")]
    names = {"task": "structure", "path_czi": "image", "reason": "reason"}
    return [table(unusable[list(names)].rename(columns=names), sortable=True)]


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
                f"(Z, Y, X): {', '.join(_size(size) for size in sizes)} voxels."
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


def training_page(model_path: str | Path, history_path: str | Path, page: str | Path) -> None:
    """How a training went; its figures are written beside the page, in `training/`, as PNG and SVG.

    Parameters
    ----------
    model_path, history_path : path
        Model file and history of a training.
    page : path
        HTML file to write.
    """
    # the other pages do without torch, which takes seconds to import
    from ssp_model.models.model_file import load_model

    history = pd.read_csv(history_path)
    model, info = load_model(model_path)
    folder = Path(page).with_suffix("")
    plot_history(history, folder / "loss.png")
    plot_gates({name: gates.numpy() for name, gates in model.gates().items()}, info.structures, folder / "gates.png")
    plot_speed(history, folder / "speed.png")
    steady = history.iloc[1:] if len(history) > 1 else history
    facts = {
        "network": f"RepMode, width {info.width}, {sum(p.numel() for p in model.parameters()):,} parameters",
        "structures": ", ".join(info.structures),
        "epochs": f"{len(history)}, the model of epoch {info.training['epoch']} was kept",
        "time in training steps": duration(history.seconds.sum()),
        "throughput": f"{steady.crops_per_s.median():.1f} crops a second (median)",
        "peak memory": f"{history.peak_memory_mb.max() / 1024:.1f} GiB",
        "seed": str(info.training["seed"]),
    }
    write_page(
        page,
        "Training",
        "One network for all structures, trained on random crops that are each labelled for one structure.",
        [
            table(pd.DataFrame({"what": facts.keys(), "this training": facts.values()})),
            heading("Loss"),
            figure(
                folder / "loss.svg",
                "Mean squared error on random crops of the training images and on whole validation images; intensities "
                "are standardised, so 1 is what predicting the mean everywhere would give. The model of lowest "
                "validation error was kept. Crops are harder or easier from epoch to epoch, so the training curves are "
                "restless; those by structure are running means. Structures differ in how predictable they are: "
                "compare a curve with its own past, not with another structure's.",
                "Loss curves of training and validation",
            ),
            heading("Experts"),
            figure(
                folder / "gates.png",
                "How much each structure (row) relies on each expert (column), in each convolution from the input to "
                "the output. White is an equal share, orange more, purple less. Rows that differ show where the "
                "network treats structures differently. A weight says nothing about the size of an expert's own "
                "kernel, so a low one does not mean that an expert is useless.",
                "Gate weights of the five experts, by structure and convolution",
            ),
            heading("Speed and memory"),
            figure(
                folder / "speed.svg",
                "Measured while training, waiting for data included and validation left out. Memory is that of the "
                "GPU, or of the process where there is none.",
                "Throughput, memory and learning rate by epoch",
            ),
        ],
    )


def scores_page(
    per_image: str | Path,
    per_structure: str | Path,
    overall: str | Path,
    images_from: str,
    page: str | Path,
) -> None:
    """The scores on the test images, beside the published ones where the structures are the published ones.

    Parameters
    ----------
    per_image, per_structure, overall : path
        Scores as `scores.summarise` writes them.
    images_from : str
        Where the images come from: the address of the archives, or a dataset's file.
    page : path
        HTML file to write; figures go to a folder beside it, named alike.
    """
    folder = Path(page).with_suffix("")
    images, means, totals = read_scores(per_image), pd.read_csv(per_structure), pd.read_csv(overall)
    plot_scores(images, means, folder / "scores.png")
    named = {metric: label(metric) for metric in METRICS}
    totals["structure"] = "all, mean over " + totals.mean_over
    both = pd.concat([means, totals])
    shown = pd.DataFrame({"structure": both.structure, "images": both.images.astype(int)})
    for metric in METRICS:
        shown[named[metric]] = [with_interval(row, metric) for _, row in both.iterrows()]
    listed = images[["structure", "path_czi", *METRICS]].rename(columns={"path_czi": "image", **named})
    write_page(
        page,
        "Scores",
        f"How near the predictions of {len(images)} test images are to what was measured.",
        [
            table(shown, total=len(totals), sortable=True, sort_by={named[m]: both[m].tolist() for m in METRICS}),
            text(
                "Means over images with 95% intervals (bootstrap over images, within structures; none for fewer than "
                "five images, and narrow where structures have few). The published figure "
                "over all is the mean over images; the mean over structures gives rare structures the same weight. R² "
                "of 1 is a perfect prediction, 0 is as good as predicting the image's mean everywhere. MSE and MAE are "
                "of standardised intensities; SSIM and PSNR take the target's range as their peak, so they are not "
                "comparable between structures."
            ),
            heading("Images"),
            figure(
                folder / "scores.svg",
                "Each dot is a test image, each upright bar the mean of a structure, with its 95% interval. Noise in "
                "the measured target can't be predicted, so even a perfect method stays below R² of 1, by an amount "
                "that differs from structure to structure.",
                "Scores of each image and structure",
            ),
            *beside_published(means, totals, images_from),
            heading("Every image"),
            table(listed, sortable=True),
        ],
    )


def structure_page(
    per_image: str | Path, images: str | Path, structure: str, viewer: str | Path, page: str | Path
) -> None:
    """Best, median and worst test image of a structure, and a volume viewer.

    Parameters
    ----------
    per_image, images : path
        Scores and folder of images of the structure, as `evaluate.evaluate_structure` writes them.
    structure : str
    viewer : path
        HTML file to write: a viewer to scroll through the median image.
    page : path
        HTML file to write; figures go to a folder beside it, named alike.
    """
    table_of_images = read_scores(per_image)
    parts = []
    for place in ("best", "median", "worst"):
        for row in table_of_images[table_of_images.place == place].itertuples():
            path = Path(page).with_suffix("") / f"{place}.png"
            plot_prediction(Path(images) / row.file, path)
            parts += [
                heading(f"{place.capitalize()}: R² {row.r2:.3f}"),
                text(f"{row.path_czi}: MSE {row.mse:.3f}, Pearson r {row.pearson:.3f}, SSIM {row.ssim:.3f}"),
                figure(
                    path,
                    "Sections in XY, XZ and YZ along the dotted lines, where the target has most contrast. Target and "
                    "prediction share one scale, from the 0.5% to the 99.8% percentile of the target; the error "
                    "(prediction minus target) has a symmetric one as wide: orange is predicted too bright, purple too "
                    "dark.",
                    f"Signal, target, prediction and error of the {place} image of {structure}",
                ),
            ]
    several = f" of {len(table_of_images)} test images" if len(table_of_images) > 1 else ""
    parts.insert(0, text(STANDARDISED))
    if any(table_of_images.place == "median"):
        row = table_of_images[table_of_images.place == "median"].iloc[0]
        write_viewer(Path(images) / row.file, f"{structure}: {row.path_czi} (R² {row.r2:.3f}, the median)", viewer)
    write_page(
        page, structure, f"Best, median and worst{several}, by R²: neither hand-picked nor representative alone.", parts
    )


def composite_page(stack: str | Path, page: str | Path) -> None:
    """All structures predicted in one test image.

    Parameters
    ----------
    stack : path
        OME-TIFF of the signal and a prediction a structure.
    page : path
        HTML file to write; figures go to a folder beside it, named alike.
    """
    path = Path(page).with_suffix("") / "composite.png"
    plot_composite(stack, path)
    write_page(
        page,
        "All structures in one image",
        "One transmitted-light image, and every structure that the network predicts in it.",
        [
            figure(
                path,
                "The test image of median R². Above: what went in, and all predictions laid over it, each in its "
                "colour. Below: each prediction by itself, from its median (black) to its 99.8% percentile. Only one "
                "of these structures was labelled in this image, so the others can't be checked here, and brightness "
                "can't be compared between structures: each has its own scale.",
                "Overlay of all predicted structures",
            ),
        ],
    )


def _size(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
