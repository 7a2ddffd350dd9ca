"""What a panel measures."""

import numpy as np

from ssp_model.evaluation.panel import Measured


def test_a_panel_need_not_have_curves():
    assert Measured({"a": np.nan}).curves == {}
