"""Get one structure's archive or image list."""

from pathlib import Path

from ssp_model.collection.lists import check_list
from ssp_model.fetch import fetch
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    stored, (target,) = snakemake.input.get("stored"), snakemake.output
    fetch(stored or snakemake.params.address, Path(target), sha256=snakemake.params.sha256, link=not stored)
    if snakemake.rule == "download_list":
        # of a failed job nothing is kept: a list that is mended is fetched again
        check_list(target, snakemake.params.address)
