"""Compare the expected error with the real one on test images."""

from ssp_model.config.schema import PredictConfig
from ssp_model.evaluation.uncertainty import Files, measure_uncertainty
from ssp_model.log import log_to
from ssp_model.prediction.signal_predictor import SignalPredictor
from ssp_model.prediction.uncertainty import Ensemble

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given, params = snakemake.input, snakemake.params
    windows = PredictConfig(**params.predict)
    models = [SignalPredictor(model, windows, params.precision, snakemake.threads) for model in given.models]
    measure_uncertainty(
        Ensemble(models, params.uncertainty),
        given.test,
        given.calibration,
        scores_of_images=given.scores,
        structure=snakemake.wildcards.structure,
        files=Files(*(snakemake.output[name] for name in Files._fields)),
    )
