"""How far a training is."""

import numpy as np
import pytest

from ssp_model.training.progress import Epoch, Progress, means


def test_a_new_epoch_starts_from_nothing():
    progress = Progress(epoch=Epoch(number=3, num_batches=2, losses=[1.0], tasks=[0], seconds=5.0), seconds=20.0)
    progress.finish_epoch({"epoch": 3}, validation_s=2.0)
    assert progress.epoch == Epoch(number=4)
    assert progress.seconds == 27.0
    assert progress.history == [{"epoch": 3}]


def test_progress_comes_back_from_a_checkpoint():
    progress = Progress(epoch=Epoch(number=2), history=[{"epoch": 1, "val_mse": 0.5}], best_epoch=1, best_mse=0.5)
    progress.epoch.add([0.25, 0.75], [1, 0])
    assert Progress.from_state_dict(progress.state_dict()) == progress


def test_training_stalls_after_validations_without_a_better_model():
    progress = Progress()
    for number, val_mse in ((1, 0.5), (2, 0.6), (3, float("nan")), (4, 0.5)):
        assert progress.is_best(val_mse) == (number == 1)
        progress.finish_epoch({"epoch": number, "val_mse": val_mse}, validation_s=0.0)
    assert (progress.best_epoch, progress.best_mse) == (1, 0.5)
    assert progress.has_stalled(3)
    assert not progress.has_stalled(4)
    assert not progress.has_stalled(None)


def test_means_by_structure_leave_out_those_without_samples():
    found = means("mse", np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2]), ["dna", "tom20", "zo1"])
    assert found == pytest.approx({"mse": 3.0, "mse_dna": 2.0, "mse_zo1": 5.0})
