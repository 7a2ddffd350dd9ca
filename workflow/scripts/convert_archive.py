"""Convert one structure's images to training resolution."""

from ssp_model.data.convert import convert_archive
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    convert_archive(
        snakemake.input.archive,
        snakemake.input.images,
        snakemake.input.get("dna_images"),
        snakemake.output.volumes,
        snakemake.output.left_out,
        structure=snakemake.wildcards.structure,
        dna=snakemake.params.dna,
        scale=snakemake.params.scale,
        voxel_size_um=snakemake.params.voxel_size_um,
        workers=snakemake.threads,
        sha256=snakemake.params.sha256,
    )
