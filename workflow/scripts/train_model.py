"""Train a model and keep the best."""

if __name__ == "__main__":
    # here, as the processes that read crops import this file too and need none of it
    from pathlib import Path

    from ssp_model.config.schema import ModelConfig, PredictConfig, TrackingConfig, TrainConfig
    from ssp_model.log import log_to
    from ssp_model.training.train import TrainFiles, train_model

    log_to(snakemake.log[0])
    params = snakemake.params
    paths = {**snakemake.input, **snakemake.output, "state": params.state, "tracking": params.tracking}
    train_model(
        TrainFiles(**{name: Path(path) for name, path in paths.items()}),
        ModelConfig(**params.model),
        # where it is computed comes from the config as it is now: a change of that is no reason to train again
        TrainConfig(**{**snakemake.config["train"], **params.train}),
        PredictConfig(**params.predict),
        TrackingConfig(**snakemake.config["tracking"]),
        "{experiment}-{seed}".format(**snakemake.wildcards),
        seed=int(snakemake.wildcards.seed),
        threads=snakemake.threads,
    )
