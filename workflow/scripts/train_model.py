"""Train a model and keep the best."""

if __name__ == "__main__":
    # here, as the processes that read crops import this file too and need none of it
    from pathlib import Path

    from ssp_model.config.schema import PredictConfig, TrackingConfig, TrainConfig, parse_model
    from ssp_model.log import log_to
    from ssp_model.training.distributed import Placement
    from ssp_model.training.recipe import Recipe
    from ssp_model.training.train import TrainFiles, train_model

    log_to(snakemake.log[0])
    params, where, run = snakemake.params, snakemake.resources, snakemake.wildcards
    places = {**params, **snakemake.input, **snakemake.output}
    extends = snakemake.input.get("extends")
    train_model(
        TrainFiles(**{name: Path(places[name]) for name in TrainFiles.__dataclass_fields__}),
        Recipe(
            model=parse_model(params.model),
            train=TrainConfig(**params.train),
            predict=PredictConfig(**params.predict),
            experiment=run.experiment,
            seed=int(run.seed),
            structures=tuple(params.structures) if params.structures else None,
            extends=Path(extends) if extends else None,
        ),
        tracking=TrackingConfig(wandb=where.wandb, project=where.wandb_project),
        placement=Placement(where.get("tasks_per_node", 1), where.nodes, threads=snakemake.threads, cache=where.cache),
    )
