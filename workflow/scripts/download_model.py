"""Get a model from elsewhere."""

from pathlib import Path

from ssp_model.log import log_to
from ssp_model.models.store import fetch_model

if __name__ == "__main__":
    log_to(snakemake.log[0])
    fetch_model(snakemake.resources.address, Path(snakemake.output[0]))
