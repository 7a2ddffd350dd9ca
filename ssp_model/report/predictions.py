"""The pages of pictures: predictions of a structure, all structures in one image."""

from pathlib import Path

from ssp_model.evaluation.scores import read_scores
from ssp_model.figures.images import plot_composite, plot_prediction
from ssp_model.report.html import STANDARDISED, figure, heading, text, write_page
from ssp_model.report.viewer import write_viewer


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
