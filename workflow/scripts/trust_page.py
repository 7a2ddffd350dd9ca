"""Show how far the predictions can be trusted."""

from ssp_model.config.schema import ScoringConfig
from ssp_model.log import log_to
from ssp_model.report.trust import Scores, Uncertainty, trust_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given = snakemake.input
    uncertainty = Uncertainty(given.uncertainty, given.levels) if given.uncertainty else None
    scores = Scores(given.per_image, given.per_structure, given.curves, given.train or None, uncertainty)
    trust_page(scores, ScoringConfig(**snakemake.params.scoring), snakemake.output.page)
