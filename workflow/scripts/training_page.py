"""Show how a training went."""

from ssp_model.log import log_to
from ssp_model.report.training import training_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    training_page(snakemake.input.model, snakemake.input.history, snakemake.output.page)
