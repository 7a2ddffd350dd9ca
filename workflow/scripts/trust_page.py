"""Show how far the predictions can be trusted."""

from ssp_model.config.schema import ScoringConfig
from ssp_model.log import log_to
from ssp_model.report.trust import trust_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    scoring = ScoringConfig(**snakemake.params.scoring)
    trust_page(snakemake.input.per_structure, snakemake.input.curves, scoring, snakemake.output.page)
