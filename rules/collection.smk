"""Archives and image lists, from wherever the configuration says."""


rule download_list:
    input:
        stored=stored_list,
    output:
        "results/lists/{structure}.csv",
    log:
        "results/logs/download_list/{structure}.log",
    benchmark:
        "results/benchmarks/download_list/{structure}.tsv"
    wildcard_constraints:
        structure="|".join(CONFIG.tasks),
    conda:
        "../envs/ssp.yaml"
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        address=lambda wildcards: address_of("lists", wildcards.structure),
        sha256=lambda wildcards: sha256_of("lists", wildcards.structure),
    message:
        "Get the image list of {wildcards.structure}"
    script:
        "../workflow/scripts/download.py"


rule download_archive:
    input:
        # the conversion is ready at once, and no archive lies waiting; a newer list needs no new archive
        lists=ancient(["results/lists/{structure}.csv"] + ([f"results/lists/{DNA}.csv"] if DNA else [])),
    output:
        # the raw images of a structure go as soon as they are converted
        temp("results/raw/{structure}.tar.gz"),
    log:
        "results/logs/download_archive/{structure}.log",
    benchmark:
        "results/benchmarks/download_archive/{structure}.tsv"
    conda:
        "../envs/ssp.yaml"
    # as many as the conversion asks for, so that no download slips in where that finds no room
    threads: 4
    resources:
        mem_mb=growing(500),
        # at every attempt the same: a download resumes
        runtime=24 * 60,
        raw_archives=1,
    params:
        address=lambda wildcards: address_of("archives", wildcards.structure),
        sha256=lambda wildcards: sha256_of("archives", wildcards.structure),
    message:
        "Get the raw images of {wildcards.structure}"
    script:
        "../workflow/scripts/download.py"
