"""Show what was run."""

from ssp_model.log import log_to
from ssp_model.report.overview import overview_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    overview_page(
        snakemake.params.config,
        list(snakemake.input.overall),
        list(snakemake.input.left_out),
        snakemake.params.benchmarks,
        snakemake.output[0],
    )
