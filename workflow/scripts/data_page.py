"""Show the data."""

from ssp_model.log import log_to
from ssp_model.report import data_page
from ssp_model.splits import by_split

if __name__ == "__main__":
    log_to(snakemake.log[0])
    splits = by_split(snakemake.params.tasks, snakemake.input.splits)
    data_page(splits, list(snakemake.input.datasets), list(snakemake.input.left_out), snakemake.output.page)
