"""Get one structure's archive or image list."""

from pathlib import Path

from ssp_model.collection.fetch import fetch
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    stored = snakemake.input.get("stored")
    source = stored or snakemake.params.address
    fetch(source, Path(snakemake.output[0]), sha256=snakemake.params.sha256, link=not stored)
