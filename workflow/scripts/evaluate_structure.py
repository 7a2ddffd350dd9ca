"""Predict and score each test image of a structure."""

from ssp_model.config.schema import PredictConfig
from ssp_model.evaluation.evaluate import evaluate_structure
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    evaluate_structure(
        snakemake.input.model,
        snakemake.input.test,
        snakemake.wildcards.structure,
        snakemake.output.scores,
        snakemake.output.images,
        snakemake.params.precision,
        PredictConfig(**snakemake.params.predict),
        snakemake.params.save_images,
        threads=snakemake.threads,
    )
