"""Convert the images of one structure to training resolution."""

from ssp_model.data.convert import RawImages, convert_images
from ssp_model.data.preprocess import Resizing
from ssp_model.files import own_file
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    archive = snakemake.input.get("archive")
    stored = dict(zip(snakemake.params.addresses, snakemake.input.stored, strict=True))
    convert_images(
        RawImages(archive and own_file(archive), snakemake.params.sha256, stored),
        snakemake.input.samples,
        dict(snakemake.output.items()),
        structure=snakemake.wildcards.structure,
        resizing=Resizing(snakemake.params.scale, snakemake.params.voxel_size_um),
        workers=snakemake.threads,
    )
