"""Picture all structures predicted in one image."""

from ssp_model.log import log_to
from ssp_model.report.predictions import composite_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    composite_page(snakemake.input[0], snakemake.output.page)
