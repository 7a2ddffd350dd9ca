"""Models from elsewhere, to be evaluated or extended: those whose checksum the configuration gives."""


rule download_model:
    output:
        GIVEN_MODEL,
    log:
        "results/logs/download_model/{sha256}.log",
    benchmark:
        "results/benchmarks/download_model/{sha256}.tsv"
    wildcard_constraints:
        sha256=any_of(GIVEN_MODELS),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(1000),
        runtime=growing(4 * 60),
        # no param: the same model from another place is no reason to fetch it again
        address=lambda wildcards: GIVEN_MODELS[wildcards.sha256],
    params:
        sha256="{sha256}",
    message:
        "Get the model with the checksum {wildcards.sha256}"
    script:
        "../workflow/scripts/download_model.py"
