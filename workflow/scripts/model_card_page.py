"""Write the model card of a run, and show it."""

from pathlib import Path

from ssp_model.log import log_to
from ssp_model.report.model_card import model_card_page

if __name__ == "__main__":
    log_to(snakemake.log[0])
    model_card_page(
        snakemake.input.model,
        snakemake.output.page,
        scores=Path(snakemake.input.overall).parent,
        datasets={split: snakemake.input[split] for split in ("train", "val", "test") if snakemake.input.get(split)},
        about=snakemake.input.get("about") or None,
    )
