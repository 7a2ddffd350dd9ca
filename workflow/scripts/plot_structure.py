"""Picture one structure in one test image."""

from ssp_model.figures import plot_structure
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    plot_structure(
        snakemake.input.per_image, snakemake.input.images, snakemake.wildcards.structure, snakemake.output[0]
    )
