"""Draw the images of DNA from those of the other structures."""

from ssp_model.config.schema import DnaConfig, SplitConfig
from ssp_model.data.splits import write_dna_splits
from ssp_model.files import own_file
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    write_dna_splits(
        dict(zip(snakemake.params.structures, map(own_file, snakemake.input.images), strict=True)),
        own_file(snakemake.input.candidates),
        snakemake.input.left_out,
        dict(snakemake.output.items()),
        config=DnaConfig(**snakemake.params.dna),
        split_config=SplitConfig(**snakemake.params.split),
    )
