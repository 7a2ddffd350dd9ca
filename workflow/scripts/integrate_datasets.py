"""Gather the volumes of each split into one file."""

from ssp_model.data.integrate import integrate
from ssp_model.data.splits import by_split
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    integrate(
        by_split(snakemake.params.tasks, snakemake.input.splits),
        dict(zip(snakemake.params.sources, snakemake.input.volumes, strict=True)),
        dict(snakemake.output.items()),
        config=snakemake.params.config,
    )
