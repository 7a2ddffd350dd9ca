"""A model of a file that predicts whole images."""

import numpy as np
import pytest

from ssp_model.errors import InputError
from ssp_model.models.model_file import load_model
from ssp_model.prediction.predictor import Predictor
from ssp_model.prediction.sliding_window import Windows, predict_volume
from tests.helpers import OVERLAPPING


def test_each_structure_is_predicted_by_its_own_network(model):
    signal = np.random.default_rng(0).normal(size=(16, 20, 18)).astype(np.float32)
    predictor = Predictor(model, OVERLAPPING, "float32")
    network, info = load_model(model)
    assert predictor.info == info
    for structure in ("zo1", "tom20", "tom20", "zo1"):
        wanted = predict_volume(network.specialise(info.task(structure)), signal, Windows((16, 16, 16)))
        np.testing.assert_allclose(predictor.predict(signal, structure), wanted, atol=1e-6)


def test_an_unknown_structure(model):
    with pytest.raises(InputError, match="does not predict 'golgi'; it predicts tom20, zo1"):
        Predictor(model, OVERLAPPING).predict(np.zeros((16, 16, 16), np.float32), "golgi")
