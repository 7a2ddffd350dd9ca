"""Draw the images of DNA from those of the other structures."""

from ssp_model.config import DnaConfig
from ssp_model.log import log_to
from ssp_model.splits import by_split, write_dna_splits

if __name__ == "__main__":
    log_to(snakemake.log[0])
    write_dna_splits(
        by_split(snakemake.params.structures, snakemake.input.splits),
        snakemake.input.candidates,
        snakemake.input.left_out,
        dict(snakemake.output.items()),
        config=DnaConfig(**snakemake.params.dna),
        seed=snakemake.params.seed,
    )
