"""Bring the structures' scores together."""

from ssp_model.log import log_to
from ssp_model.scores import summarise

if __name__ == "__main__":
    log_to(snakemake.log[0])
    summarise(list(snakemake.input), *snakemake.output)
