"""The pages of pictures: predictions of one structure, and all structures in one image."""

from pathlib import Path

import pandas as pd

from ssp_model.evaluation.regions import read_regions
from ssp_model.evaluation.scores import read_scores
from ssp_model.figures.images import plot_composite, plot_prediction, plot_regions
from ssp_model.figures.style import save
from ssp_model.images.ome_tiff import read_ome_tiff
from ssp_model.report.html import Table, write_page
from ssp_model.report.viewer import read_prediction, write_viewer


def structure_page(
    per_image: str | Path,
    images: str | Path,
    regions: str | Path,
    *,
    uncertain: str | Path | None,
    structure: str,
    viewer: str | Path,
    page: str | Path,
) -> None:
    """Write the page of a structure: its best, median and worst test image, and the worst regions of all.

    The median image gets a volume viewer. Where the uncertainty is measured, it shows the mean of the predictions and
    the expected error.

    Parameters
    ----------
    per_image : path
        Scores of the structure's images, as `evaluation.evaluate.evaluate_structure` writes them.
    images : path
        Folder of the structure's OME-TIFFs: signal, target, prediction.
    regions : path
        HDF5 file of its worst regions, as `evaluate_structure` writes it.
    uncertain : path, optional
        Folder of the median image with its expected error, as `evaluation.uncertainty.measure_uncertainty` writes it.
    structure : str
    viewer : path
        HTML file of the viewer to write.
    page : path
        HTML file to write. Its figures go to a folder beside it, with the same name.

    Raises
    ------
    InputError
        A file can't be read, or does not have these three channels.
    """
    scores = read_scores(per_image)
    pictures = []
    for place in ("best", "median", "worst"):
        for row in scores[scores.place == place].itertuples():
            image = read_prediction(Path(images) / row.file)
            signal, target, prediction = image.channels
            path = Path(page).with_suffix("") / f"{place}.png"
            save(plot_prediction(signal, target, prediction, image.voxel_size_um), path)
            pictures.append({"place": place, "scores": row, "figure": path})
            if place == "median":
                shown = read_prediction(Path(uncertain) / row.file) if uncertain else image
                write_viewer(shown, f"{structure}: {row.image} (R² {row.r2:.3f}, the median)", viewer)
    write_page(
        page,
        "structure.html.j2",
        structure=structure,
        num_images=len(scores),
        pictures=pictures,
        regions=picture_regions(regions, page),
    )


def picture_regions(regions: str | Path, page: str | Path) -> dict[str, dict[str, object]]:
    """Draw the worst regions, and list where they are: a `figure` and a `table` for each kind that there is."""
    shown: dict[str, dict[str, object]] = {}
    for kind, of_kind in read_regions(regions).items():
        if of_kind:
            path = Path(page).with_suffix("") / f"{kind}.png"
            save(plot_regions([(region.error, region.planes) for region in of_kind]), path)
            rows = [(rank, region.image, *region.middle, region.error) for rank, region in enumerate(of_kind, start=1)]
            listed = pd.DataFrame(rows, columns=["region", "image", "z", "y", "x", "error"])
            shown[kind] = {"figure": path, "table": Table(listed)}
    return shown


def composite_page(stack: str | Path, page: str | Path) -> None:
    """Write the page with all structures predicted in one test image.

    Parameters
    ----------
    stack : path
        OME-TIFF of the signal and of one prediction for each structure.
    page : path
        HTML file to write. Its figure goes to a folder beside it, with the same name.
    """
    image = read_ome_tiff(stack)
    signal, *predictions = image.channels
    named = dict(zip(image.channel_names[1:], predictions, strict=True))
    figure = Path(page).with_suffix("") / "composite.png"
    save(plot_composite(signal, named, image.voxel_size_um), figure)
    write_page(page, "composite.html.j2", overlay=figure, num_structures=len(named))
