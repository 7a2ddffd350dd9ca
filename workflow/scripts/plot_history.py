"""Plot the loss curves of a training."""

from ssp_model.figures import plot_history
from ssp_model.log import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    plot_history(snakemake.input[0], snakemake.output[0])
