"""Show the scores of a model as a table and as a figure."""

from ssp_model.figures import plot_scores, table_scores
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    table_scores(snakemake.input.per_structure, snakemake.input.overall, snakemake.output.table)
    plot_scores(snakemake.input.per_image, snakemake.input.per_structure, snakemake.output.figure)
