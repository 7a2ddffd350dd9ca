"""Train a model and keep the best."""

from pathlib import Path

from ssp_model.config import ModelConfig, PredictConfig, TrainConfig
from ssp_model.log import log_to
from ssp_model.train import TrainFiles, train_model

if __name__ == "__main__":
    log_to(snakemake.log[0])
    paths = {**snakemake.input, **snakemake.output, "state": snakemake.params.state}
    train_model(
        TrainFiles(**{name: Path(path) for name, path in paths.items()}),
        ModelConfig(**snakemake.params.model),
        TrainConfig(**snakemake.params.train),
        PredictConfig(**snakemake.params.predict),
        seed=int(snakemake.wildcards.seed),
        threads=snakemake.threads,
    )
