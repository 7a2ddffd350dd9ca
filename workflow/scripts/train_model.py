"""Train a model and keep the best."""

if __name__ == "__main__":
    # here, as the processes that read crops import this file too and need none of it
    from pathlib import Path

    from ssp_model.config import ModelConfig, PredictConfig, TrackingConfig, TrainConfig
    from ssp_model.log import log_to
    from ssp_model.train import TrainFiles, train_model

    log_to(snakemake.log[0])
    paths = {**snakemake.input, **snakemake.output, "state": snakemake.params.state}
    model = Path(snakemake.output.model)
    train_model(
        TrainFiles(**{name: Path(path) for name, path in paths.items()}, tracking=model.parent / "wandb"),
        ModelConfig(**snakemake.params.model),
        # where it is computed comes from the config as it is now: a change of that is no reason to train again
        TrainConfig(**{**snakemake.config["train"], **snakemake.params.train}),
        PredictConfig(**snakemake.params.predict),
        TrackingConfig(**snakemake.config["tracking"]),
        "{experiment}-{seed}".format(**snakemake.wildcards),
        seed=int(snakemake.wildcards.seed),
        threads=snakemake.threads,
    )
