"""Split one structure's images."""

from ssp_model.config.schema import SplitConfig
from ssp_model.data.splits import write_structure_splits
from ssp_model.files import own_file
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    write_structure_splits(
        own_file(snakemake.input.images),
        snakemake.input.left_out,
        dict(snakemake.output.items()),
        structure=snakemake.wildcards.structure,
        config=SplitConfig(**snakemake.params.split),
    )
