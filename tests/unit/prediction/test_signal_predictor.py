"""A model of a file that predicts prepared signals."""

import numpy as np
import pytest

from ssp_model.errors import InputError
from ssp_model.models.model_file import load_model
from ssp_model.prediction.signal_predictor import SignalPredictor
from ssp_model.prediction.sliding_window import Windows, predict_volume
from tests.helpers import OVERLAPPING


def test_each_structure_is_predicted_by_its_own_network(model):
    signal = np.random.default_rng(0).normal(size=(16, 20, 18)).astype(np.float32)
    predictor = SignalPredictor(model, OVERLAPPING, "float32")
    network, info = load_model(model)
    assert predictor.info == info
    for structure in ("zo1", "tom20", "tom20", "zo1"):
        wanted = predict_volume(network.specialise(info.task(structure)), signal, Windows((16, 16, 16)))
        np.testing.assert_allclose(predictor.predict_signal(signal, structure), wanted, atol=1e-6)


def test_an_unknown_structure(model):
    with pytest.raises(InputError, match="does not predict 'golgi'; it predicts tom20, zo1"):
        SignalPredictor(model, OVERLAPPING).predict_signal(np.zeros((16, 16, 16), np.float32), "golgi")


def test_structures_are_predicted_once_each(model):
    predictor = SignalPredictor(model)
    assert predictor.structures(["zo1", "tom20", "zo1"]) == ("zo1", "tom20")
    assert predictor.structures(None) == predictor.structures([]) == ("tom20", "zo1")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"precision": "fp8"}, r"^The precision 'fp8' is not known; give auto, float32, bf16, fp16\.$"),
        ({"threads": 0}, r"^The number of threads is 0 but should be at least 1\.$"),
        ({"overlap": 1.0}, "overlap is 1 but should be less than 1"),
        ({"device": "cuda:99"}, r"^There is no device 'cuda:99' on this machine; give auto or cpu"),
        ({"device": "gpu"}, r"^There is no device 'gpu' on this machine"),
    ],
)
def test_values_that_can_not_be_used(model, values, sentence):
    with pytest.raises(InputError, match=sentence):
        SignalPredictor(model, **values)
