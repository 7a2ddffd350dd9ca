"""Drawing units into parts: shares for all labels at once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ssp_model.data.draw import draw

SHARES = (0.675, 0.075, 0.25)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
def test_many_units_of_many_labels_have_nearly_the_wanted_shares(seed, density):
    rng = np.random.default_rng(seed)
    counts = (rng.random((120, 6)) < density).astype(int)
    counts[np.arange(120), rng.integers(0, 6, 120)] = 1
    parts = draw(counts, SHARES, seed)
    for label in counts.T:
        shares = [label[parts == part].sum() / label.sum() for part in range(3)]
        np.testing.assert_allclose(shares, SHARES, atol=0.1)


def test_the_rarest_label_is_in_each_part():
    counts = np.ones((40, 2), int)
    counts[3:, 1] = 0
    parts = draw(counts, SHARES, 0)
    assert sorted(parts[:3]) == [0, 1, 2]


def test_a_plate_of_most_samples_is_trained_on():
    counts = np.ones((10, 1), int)
    counts[7] = 30
    for seed in range(10):
        assert draw(counts, SHARES, seed)[7] == 0


def test_there_may_be_no_draw():
    assert draw(np.ones((2, 1), int), SHARES, 0) is None
