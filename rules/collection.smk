"""The images: archives and image lists, from wherever the configuration says, and the table of samples."""

if OWN is not None:

    localrules:
        check_preflight,

    rule tabulate_samples:
        input:
            # its content counts, in params: a pattern may match other images than before
            samples=ancient(given(CONFIG.collection.samples)),
        output:
            "results/samples/{structure}.csv",
        log:
            "results/logs/tabulate_samples/{structure}.log",
        benchmark:
            "results/benchmarks/tabulate_samples/{structure}.tsv"
        conda:
            ENVIRONMENT
        resources:
            mem_mb=growing(500),
            runtime=growing(10),
        params:
            structures=STRUCTURES,
            samples=samples_checksum,
            code=code_of("tabulate_samples"),
        message:
            "List the samples of the images of {wildcards.structure}"
        script:
            "../workflow/scripts/tabulate_samples.py"

    rule preflight_samples:
        input:
            samples=ancient(given(CONFIG.collection.samples)),
            # an image that is mended or comes late is checked anew
            images=[image for source in SOURCES for image in own_images(source)],
        output:
            problems="results/preflight/problems.csv",
            counts="results/preflight/counts.csv",
            space="results/preflight/space.csv",
            page=report(
                "results/preflight/problems.html",
                caption="../workflow/report/preflight.rst",
                category="Data",
                labels={"page": "preflight of the own images"},
            ),
        log:
            "results/logs/preflight_samples.log",
        benchmark:
            "results/benchmarks/preflight_samples.tsv"
        conda:
            ENVIRONMENT
        threads: 4
        resources:
            mem_mb=growing(4000),
            runtime=growing(4 * 60),
            # 0 leaves the intensities unread, where reading all images takes too long
            pixels=1,
        params:
            structures=STRUCTURES,
            samples=checksum(OWN),
            preprocess=section("preprocess"),
            split=section("split"),
            code=code_of("preflight_samples"),
        message:
            "Check the table of samples and its images"
        script:
            "../workflow/scripts/preflight_samples.py"

    # a checkpoint, as Snakemake looks for no changes downstream of a job that runs, not even behind ancient():
    # after it, the run is planned anew
    checkpoint check_preflight:
        input:
            problems="results/preflight/problems.csv",
            page="results/preflight/problems.html",
        output:
            touch("results/preflight/passed"),
        log:
            "results/logs/check_preflight.log",
        benchmark:
            "results/benchmarks/check_preflight.tsv"
        conda:
            ENVIRONMENT
        resources:
            mem_mb=growing(500),
            runtime=growing(10),
        params:
            code=code_of("check_preflight"),
        message:
            "Check whether the samples can be used"
        script:
            "../workflow/scripts/check_preflight.py"

else:

    rule tabulate_samples:
        input:
            images="results/lists/{structure}.csv",
            dna_images=f"results/lists/{DNA}.csv" if DNA else [],
        output:
            "results/samples/{structure}.csv",
        log:
            "results/logs/tabulate_samples/{structure}.log",
        benchmark:
            "results/benchmarks/tabulate_samples/{structure}.tsv"
        conda:
            ENVIRONMENT
        resources:
            mem_mb=growing(500),
            runtime=growing(10),
        params:
            dna=DNA,
            code=code_of("tabulate_samples"),
        message:
            "List the samples of the images of {wildcards.structure}"
        script:
            "../workflow/scripts/tabulate_samples.py"


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
        ENVIRONMENT
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
        samples=ancient("results/samples/{structure}.csv"),
    output:
        # the raw images of a structure go as soon as they are converted
        temp("results/raw/{structure}.tar.gz"),
    log:
        "results/logs/download_archive/{structure}.log",
    benchmark:
        "results/benchmarks/download_archive/{structure}.tsv"
    conda:
        ENVIRONMENT
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
