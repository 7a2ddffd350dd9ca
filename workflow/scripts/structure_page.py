"""Picture the predictions of a structure."""

from ssp_model.log import log_to
from ssp_model.report.predictions import structure_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given = snakemake.input
    structure_page(
        given.scores,
        given.images,
        given.regions,
        uncertain=given.uncertain[0] if given.uncertain else None,
        structure=snakemake.wildcards.structure,
        viewer=snakemake.output.viewer,
        page=snakemake.output.page,
    )
