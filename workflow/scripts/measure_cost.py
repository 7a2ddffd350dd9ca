"""Measure what a prediction of a model costs."""

from ssp_model.evaluation.cost import measure_cost
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    measure_cost(
        snakemake.input.model,
        snakemake.output[0],
        snakemake.params.precision,
        snakemake.threads,
        experiment=snakemake.wildcards.experiment,
    )
