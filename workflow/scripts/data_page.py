"""Show the data."""

from ssp_model.log import log_to
from ssp_model.report import data_page
from ssp_model.splits import SPLITS

if __name__ == "__main__":
    log_to(snakemake.log[0])
    paths = iter(snakemake.input.splits)
    splits = {task: {split: next(paths) for split in SPLITS} for task in snakemake.params.tasks}
    data_page(splits, list(snakemake.input.datasets), list(snakemake.input.left_out), snakemake.output.page)
