"""The page of the scores."""

from pathlib import Path

import pandas as pd

from ssp_model.evaluation.metrics import METRICS, label
from ssp_model.evaluation.scores import read_scores, with_interval
from ssp_model.figures.scores import plot_scores
from ssp_model.report.html import figure, heading, table, text, write_page
from ssp_model.report.published import beside_published


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
