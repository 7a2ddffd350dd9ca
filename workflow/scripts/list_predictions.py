"""Gather what became of the images to predict, and stop where one has failed."""

from ssp_model.log import log_to
from ssp_model.prediction.outcomes import gather_outcomes

if __name__ == "__main__":
    log_to(snakemake.log[0])
    gather_outcomes(snakemake.input, snakemake.output[0])
