"""Predict and score each test image."""

from ssp_model.config import EvaluateConfig, PredictConfig
from ssp_model.evaluate import evaluate_model
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    evaluate_model(
        snakemake.input.model,
        snakemake.input.test,
        snakemake.output.per_image,
        snakemake.output.per_structure,
        snakemake.output.overall,
        snakemake.output.images,
        precision=snakemake.params.precision,
        predict_config=PredictConfig(**snakemake.params.predict),
        config=EvaluateConfig(**snakemake.params.evaluate),
        threads=snakemake.threads,
    )
