"""Predict all structures in the signal of one test image."""

from ssp_model.config.schema import PredictConfig
from ssp_model.evaluation.evaluate import predict_composite
from ssp_model.log import log_to
from ssp_model.prediction.signal_predictor import SignalPredictor

if __name__ == "__main__":
    log_to(snakemake.log[0])
    params = snakemake.params
    predictor = SignalPredictor(
        snakemake.input.model, PredictConfig(**params.predict), params.precision, snakemake.threads
    )
    predict_composite(predictor, snakemake.input.test, snakemake.input.scores, snakemake.output[0])
