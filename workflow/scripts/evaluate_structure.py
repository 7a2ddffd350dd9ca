"""Predict and score each test image of a structure."""

from ssp_model.config.schema import PredictConfig, ScoringConfig
from ssp_model.evaluation.evaluate import Files, evaluate_structure
from ssp_model.evaluation.scores import Run
from ssp_model.log import log_to
from ssp_model.prediction.signal_predictor import SignalPredictor

if __name__ == "__main__":
    log_to(snakemake.log[0])
    params = snakemake.params
    evaluate_structure(
        SignalPredictor(snakemake.input.model, PredictConfig(**params.predict), params.precision, snakemake.threads),
        snakemake.input.test,
        run=Run(snakemake.wildcards.experiment, int(snakemake.wildcards.seed)),
        structure=snakemake.wildcards.structure,
        scoring=ScoringConfig(**params.scoring),
        save_images=params.save_images,
        files=Files(*(snakemake.output[name] for name in ("scores", "curves", "regions", "images"))),
    )
