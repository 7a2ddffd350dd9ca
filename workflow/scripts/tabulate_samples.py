"""List the samples of the images that are converted together."""

from ssp_model.collection.tabulate import write_samples_of_archive, write_samples_of_images
from ssp_model.files import own_file
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    structure, params = snakemake.wildcards.structure, snakemake.params
    if table := snakemake.input.get("samples"):
        write_samples_of_images(table, snakemake.output[0], structure=structure, structures=params.structures)
    else:
        lists = {structure: own_file(snakemake.input.images)}
        if params.dna:
            lists[params.dna] = own_file(snakemake.input.dna_images)
        write_samples_of_archive(lists, snakemake.output[0])
