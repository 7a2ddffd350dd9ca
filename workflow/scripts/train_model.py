"""Train a model and keep the best."""

from ssp_model.config import ModelConfig, PredictConfig, TrainConfig
from ssp_model.log import log_to
from ssp_model.train import train_model

if __name__ == "__main__":
    log_to(snakemake.log[0])
    train_model(
        snakemake.input.train,
        snakemake.input.val,
        snakemake.output.model,
        snakemake.output.history,
        ModelConfig(**snakemake.params.model),
        TrainConfig(**snakemake.params.train),
        PredictConfig(**snakemake.params.predict),
        seed=int(snakemake.wildcards.seed),
        threads=snakemake.threads,
    )
