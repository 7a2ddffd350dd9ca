"""Compare experiments and seeds."""

from ssp_model.log import log_to
from ssp_model.report.compare import compare_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    compare_page(snakemake.input.overall, snakemake.input.histories, snakemake.output.table, snakemake.output.page)
