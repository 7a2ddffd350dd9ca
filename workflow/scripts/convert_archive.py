"""Convert one structure's images to training resolution."""

from ssp_model.data.convert import RawImages, convert_archive
from ssp_model.data.preprocess import Resizing
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    convert_archive(
        RawImages(
            snakemake.input.archive,
            snakemake.input.images,
            snakemake.input.get("dna_images"),
            snakemake.params.sha256,
        ),
        snakemake.output.volumes,
        snakemake.output.left_out,
        structure=snakemake.wildcards.structure,
        dna=snakemake.params.dna,
        resizing=Resizing(snakemake.params.scale, snakemake.params.voxel_size_um),
        workers=snakemake.threads,
    )
