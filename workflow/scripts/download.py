"""Get one structure's archive or image list."""

from ssp_model.collection import download
from ssp_model.config import CollectionConfig
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    download(
        snakemake.params.template,
        snakemake.wildcards.structure,
        snakemake.output[0],
        CollectionConfig(**snakemake.params.collection),
    )
