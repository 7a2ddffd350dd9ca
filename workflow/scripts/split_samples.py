"""Split the samples of an own table."""

from ssp_model.config.schema import SplitConfig
from ssp_model.data.splits import by_split, write_sample_splits
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    tasks = snakemake.params.tasks
    write_sample_splits(
        snakemake.input.samples,
        snakemake.input.left_out,
        by_split(tasks, snakemake.output),
        structures=tasks,
        config=SplitConfig(**snakemake.params.split),
    )
