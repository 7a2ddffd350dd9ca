"""From raw microscope files to a trained, evaluated model that predicts subcellular structures."""

from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


include: "rules/common.smk"


container: container_image


include: "rules/collection.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/prediction.smk"
include: "rules/report.smk"
include: "rules/benchmark.smk"
include: "rules/targets.smk"


rule all:
    default_target: True
    input:
        rules.report.input,
    message:
        "Everything, up to the report's figures"


onsuccess:
    tell_success()


onerror:
    tell_error(log)
