"""Show what was run."""

from pathlib import Path

from ssp_model.log import log_to
from ssp_model.report.overview import overview_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    config = snakemake.params.config
    overall = dict(zip(config["seeds"], snakemake.input.overall, strict=True))
    page = Path(snakemake.output[0])
    # benchmarks are beside the report, as far as their jobs ran where this one does
    benchmarks = page.parents[1] / "benchmarks"
    overview_page(config, overall, list(snakemake.input.left_out), benchmarks, page)
