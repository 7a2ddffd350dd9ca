"""The page of the scores."""

from pathlib import Path

import pandas as pd

from ssp_model.evaluation.metrics import METRICS, label
from ssp_model.evaluation.scores import read_scores
from ssp_model.figures.scores import plot_scores
from ssp_model.figures.style import save
from ssp_model.report.html import Table, write_page
from ssp_model.report.published import compare_with_paper
from ssp_model.report.runs import read_runs, score_table


def scores_page(
    per_image: str | Path,
    per_structure: str | Path,
    overall: str | Path,
    images_from: str,
    page: str | Path,
) -> None:
    """Write the page of the scores on the test images. Structures of the paper stand beside the paper's scores.

    Parameters
    ----------
    per_image, per_structure, overall : path
        Scores, as `evaluation.scores.summarise` writes them.
    images_from : str
        Where the images come from: the address of the archives, the table of samples, or the file of a dataset.
    page : path
        HTML file to write. Its figures go to a folder beside it, with the same name.
    """
    figure = Path(page).with_suffix("") / "scores.png"
    images, means, totals = read_scores(per_image), read_runs([per_structure]), read_runs([overall])
    save(plot_scores(images, means), figure)
    named = {metric: label(metric) for metric in METRICS}
    listed = images[["structure", "image", *METRICS]].rename(columns={"image": "image", **named})
    write_page(
        page,
        "scores.html.j2",
        experiment=totals.experiment[0],
        seed=totals.seed[0],
        num_images=len(images),
        means=means_table(means, totals),
        figure_of_scores=figure.with_suffix(".svg"),
        images_from=images_from,
        paper=compare_with_paper(means, totals, images_from),
        images=Table(listed),
    )


def means_table(means: pd.DataFrame, totals: pd.DataFrame) -> Table:
    """List the mean scores with their intervals: each structure, then all."""
    both = pd.concat([means, totals.assign(structure="all, mean over " + totals.mean_over)])
    left = pd.DataFrame({"structure": both.structure, "images": both.images.astype(int)})
    return score_table(left, both, num_totals=len(totals))
