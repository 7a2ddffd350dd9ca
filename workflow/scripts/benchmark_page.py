"""Compare methods, ablations and increments."""

from ssp_model.log import log_to
from ssp_model.report.benchmark import benchmark_page
from ssp_model.report.benchmark_results import Entry

if __name__ == "__main__":
    log_to(snakemake.log[0])
    benchmark_page(
        [Entry(**entry) for entry in snakemake.params.entries],
        snakemake.input.per_image,
        snakemake.input.histories,
        snakemake.input.costs,
        images_from=snakemake.params.images,
        csv=snakemake.output.table,
        page=snakemake.output.page,
    )
