"""Stop where a table of samples or its images can't be used."""

from ssp_model.data.preflight import check_preflight
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    check_preflight(snakemake.input.problems, snakemake.input.page)
