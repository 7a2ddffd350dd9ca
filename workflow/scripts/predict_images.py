"""Predict structures in some of the images to predict."""

from ssp_model.config.schema import PredictConfig
from ssp_model.log import log_to
from ssp_model.prediction.batch import predict_images
from ssp_model.prediction.outcomes import write_outcomes
from ssp_model.prediction.plan import OutputSettings
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.requests import from_plain
from ssp_model.prediction.scratch import stopped_in_a_sentence
from ssp_model.prediction.uncertainty import make_ensemble

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given, params = snakemake.input, snakemake.params
    windows = PredictConfig(**params.predict)
    with stopped_in_a_sentence():
        first, *others = (Predictor(model, windows, params.precision, snakemake.threads) for model in given.models)
        ensemble = make_ensemble([first, *others], params.uncertainty, given.calibrations)
        settings = OutputSettings(**params.output, max_memory=snakemake.resources.mem_mb * 10**6, ensemble=ensemble)
        outcomes = predict_images(first, from_plain(params.images), snakemake.output.images, settings)
    write_outcomes(outcomes, snakemake.output.table)
