"""Tabulate the splits and the images left out."""

from ssp_model.figures import table_splits
from ssp_model.log import log_to
from ssp_model.splits import by_split

if __name__ == "__main__":
    log_to(snakemake.log[0])
    splits = by_split(snakemake.params.tasks, snakemake.input.splits)
    table_splits(splits, snakemake.input.left_out, snakemake.output[0])
