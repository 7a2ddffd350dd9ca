"""Bring the structures' scores together."""

from ssp_model.evaluation.scores import summarise
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    summarise(list(snakemake.input), *snakemake.output)
