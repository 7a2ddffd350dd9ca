"""Check a table of samples and all its images before anything long starts."""

from pathlib import Path

from ssp_model.config.schema import PreprocessConfig, SplitConfig
from ssp_model.data.preflight import preflight_samples
from ssp_model.log import log_to
from ssp_model.report.preflight import preflight_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    params, output = snakemake.params, snakemake.output
    preflight_samples(
        snakemake.input.samples,
        structures=params.structures,
        preprocess=PreprocessConfig(**params.preprocess),
        split=SplitConfig(**params.split),
        num_workers=snakemake.threads,
        pixels=bool(snakemake.resources.pixels),
    ).write(Path(output.problems).parent)
    preflight_page(output.problems, output.counts, output.space, output.page)
