"""Show what was run."""

from ssp_model.log import log_to
from ssp_model.report import overview_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    config = snakemake.params.config
    overall = dict(zip(config["seeds"], snakemake.input.overall, strict=True))
    overview_page(config, overall, list(snakemake.input.left_out), snakemake.params.benchmarks, snakemake.output[0])
