"""Show the data."""

from ssp_model.data.splits import by_split
from ssp_model.log import log_to
from ssp_model.report.data import data_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    splits = by_split(snakemake.params.tasks, snakemake.input.splits)
    data_page(splits, list(snakemake.input.datasets), list(snakemake.input.left_out), snakemake.output.page)
