"""Show the scores."""

from ssp_model.log import log_to
from ssp_model.report.scores import scores_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    tables = (snakemake.input.per_image, snakemake.input.per_structure, snakemake.input.overall)
    scores_page(*tables, snakemake.params.images, snakemake.output.page)
