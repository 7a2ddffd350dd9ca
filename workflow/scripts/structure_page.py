"""Picture the predictions of a structure."""

from ssp_model.log import log_to
from ssp_model.report.predictions import structure_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    structure_page(
        *(snakemake.input[name] for name in ("scores", "images", "regions")),
        structure=snakemake.wildcards.structure,
        viewer=snakemake.output.viewer,
        page=snakemake.output.page,
    )
