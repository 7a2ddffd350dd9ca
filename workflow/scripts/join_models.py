"""Join the networks of all structures, each trained alone, to one model."""

from pathlib import Path

from ssp_model.log import log_to
from ssp_model.training.join import Results, join_models

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given, made = snakemake.input, snakemake.output
    of_each = zip(given.models, given.histories, given.events, strict=True)
    parts = [Results(*map(Path, paths)) for paths in of_each]
    join_models(
        dict(zip(snakemake.params.structures, parts, strict=True)),
        Results(Path(made.model), Path(made.history), Path(made.events)),
        given.train,
        given.val,
    )
