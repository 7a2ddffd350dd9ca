"""Find the error that a spread of predictions means, from validation images."""

from ssp_model.config.schema import PredictConfig
from ssp_model.evaluation.uncertainty import calibrate
from ssp_model.log import log_to
from ssp_model.prediction.signal_predictor import SignalPredictor
from ssp_model.prediction.uncertainty import Ensemble

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given, params = snakemake.input, snakemake.params
    windows = PredictConfig(**params.predict)
    models = [SignalPredictor(model, windows, params.precision, snakemake.threads) for model in given.models]
    calibrate(Ensemble(models, params.uncertainty), given.val, snakemake.wildcards.structure, snakemake.output[0])
