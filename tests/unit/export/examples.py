"""What the tests of exports share."""

from ssp_model.models.model_file import ModelInfo

STRUCTURES = ("dna", "tom20", "zo1")


def info_of(method: str) -> ModelInfo:
    """What a model file of three structures says."""
    return ModelInfo(
        structures=STRUCTURES,
        method=method,
        settings={"width": 4},
        patch=(16, 32, 48),
        voxel_size_um=(0.29, 0.29, 0.29),
        preprocess={"scale": [1.0, 0.4, 0.4], "voxel_size_um": None, "on_bad_image": "stop"},
        config={},
        training={"experiment": "trial", "seed": 0, "epoch": 1, "val_mse": 0.5},
    )
