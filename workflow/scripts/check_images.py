"""Stop where images of a structure can't be used, unless they are to be skipped."""

from ssp_model.data.left_out import check_left_out
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    params = snakemake.params
    check_left_out(snakemake.input.left_out, snakemake.wildcards.structure, params.on_bad_image, params.again)
