"""Predict all structures in the signal of one test image."""

from ssp_model.config.schema import PredictConfig
from ssp_model.evaluation.evaluate import predict_composite
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    predict_composite(
        snakemake.input.model,
        snakemake.input.test,
        snakemake.input.scores,
        snakemake.output[0],
        snakemake.params.precision,
        PredictConfig(**snakemake.params.predict),
        threads=snakemake.threads,
    )
